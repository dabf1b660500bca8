"""Options of the medical domain: the `domain:` section of a recipe.

Research software, not medical advice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PromptStyle = Literal["chat", "compact"]
Teacher = Literal["dialogues", "greedy", "random"]
TurnReward = Literal["none", "sig", "promed", "belief", "expected"]
RubricName = Literal["outcome", "thorough", "answer", "question"]


class EndpointOptions(BaseModel):
    """A language model that plays the patient (OpenAI-compatible); its replies are checked with the case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    """Questions go to BASE_URL/chat/completions."""

    model: str
    """Name of the model at the endpoint."""

    api_key_env: str | None = None
    """Environment variable that holds the key; null sends none."""

    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds after which a reply counts as failed: the episode is masked."""


class NoiseOptions(BaseModel):
    """How unreliable the simulated patient is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p_unknown: float = Field(default=0.0, ge=0, le=1)
    """Chance that the patient does not remember a finding."""

    p_flip: float = Field(default=0.0, ge=0, le=1)
    """Chance that the patient says the opposite."""

    seed: int = 0
    """Of both, drawn once for every patient and finding."""


class MedicalOptions(BaseModel):
    """How a consultation goes, what is imitated, and what is paid; research software, not medical advice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: int = Field(default=10, ge=0, le=100)
    """Questions that may be asked before the answer."""

    prompt_style: PromptStyle = "chat"
    """chat: rules, findings and options in plain language; compact: the findings alone, for models made from scratch
    on a dataset with a knowledge base, which answer with the name of a diagnosis."""

    diagnosis: Literal["policy", "belief"] = "policy"
    """Who names the diagnosis: the policy, or, when it answers or has no question left, the dataset's belief given what
    was learned, so that only asking is judged."""

    teacher: Teacher = "dialogues"
    """Whose consultations are imitated: the dataset's searched dialogues, or questions chosen from the knowledge base
    by information gain (greedy) or at random, with the diagnosis that is most probable then."""

    confidence: float = Field(default=0.95, gt=0, le=1)
    """Probability of a diagnosis from which a greedy or random teacher asks no more; 1 asks to the end."""

    turn_reward: TurnReward = "none"
    """What a question earns itself: the Shapley information gain of the facts it brought (sig), ProMed's sum of gain,
    outcome and form (promed; set the outcome's weight to 0), how much it raised the probability of the right answer by
    the dataset's belief model (belief), or how much it was expected to raise it, whatever this patient replied
    (expected, which needs a knowledge base). What the policy itself believes is paid by `turns: {method: igpo}`."""

    weights: Literal["positive", "paper", "uniform", "zscore"] = "positive"
    """How Shapley values become the weights that sig and promed pay (paper: softmax at temperature 2)."""

    belief_model: str | None = None
    """Causal language model (hub id or folder) whose option probabilities value facts; null takes the dataset's naive
    Bayes. It stays frozen."""

    noise: NoiseOptions = NoiseOptions()
    """Of the simulated patient."""

    endpoint: EndpointOptions | None = None
    """A language model that plays the patient; null simulates one from the facts."""

    rubric: RubricName = "outcome"
    """What a consultation is worth: outcome (1 for the right answer); thorough (outcome .7, weight of the facts
    learned .15, quality of the questions .15); answer and question judge a single turn."""

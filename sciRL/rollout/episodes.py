"""Rollouts of conversations: many episodes at once, one generation call a turn for all that are still going on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sciRL.environments.conversation import Conversation, ConversationEnvironment, Reply
from sciRL.models.loading import LanguagePolicy, decode_completion
from sciRL.rollout.base import Completion, ForcedText, GenerationRequest, Request, SamplingParameters
from sciRL.rollout.collect import Rollout, fill_scores
from sciRL.rollout.continuation import continuation_ids
from sciRL.rollout.verify import verify_answers
from sciRL.score import Score
from sciRL.seeding import request_seed
from sciRL.task import Task
from sciRL.trajectory import Role, TrajectoryBatch, Turn


@dataclass
class Segment:
    """A run of tokens written by one side; `logp` is NaN where the policy did not write."""

    role: Role
    ids: list[int]
    turn: int
    logp: list[float]


@dataclass
class Row:
    """One context that only grew: segments end to end."""

    segments: list[Segment] = field(default_factory=list)

    def add(self, role: Role, ids: Sequence[int], turn: int, logp: Sequence[float] | None = None) -> None:
        """Append a segment."""
        values = [math.nan] * len(ids) if logp is None else [float(value) for value in logp]
        self.segments.append(Segment(role, [int(token) for token in ids], turn, values))

    @property
    def ids(self) -> list[int]:
        """All ids of the row."""
        return [token for segment in self.segments for token in segment.ids]

    def has_room(self, parameters: SamplingParameters, max_context: int) -> bool:
        """Whether the longest turn that may be drawn still fits into a context."""
        return len(self.ids) + parameters.max_new_tokens <= max_context

    def request(self, seed: int, turn: int, images: tuple[str, ...] = ()) -> GenerationRequest:
        """Return what is asked for turn `turn`: it reads the whole row and draws by episode seed and turn alone."""
        return GenerationRequest(tuple(self.ids), request_seed(seed, "turn", turn), images)

    def add_turn(self, policy: LanguagePolicy, completion: Completion, turn: int) -> str:
        """Append what was drawn, as it was drawn, and return its text."""
        self.add(Role.ACTION, completion.ids.tolist(), turn, completion.logp.tolist())
        return decode_completion(policy.tokenizer, completion.ids)

    def add_reply(self, policy: LanguagePolicy, completion: Completion, reply: str, turn: int) -> None:
        """Append the reply to the turn that was drawn last, up to where the next turn begins."""
        follow = continuation_ids(policy.tokenizer, reply, completion.stop == "eos", policy.eos_ids)
        if policy.vision is not None:
            follow = policy.vision.without_placeholders(follow)
        self.add(Role.OBSERVATION, follow, turn)


@dataclass
class Episode:
    """An episode under way or finished: its rows, replies and score."""

    task: Task
    group: int
    sample: int
    seed: int
    conversation: Conversation
    rows: list[Row] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    row_of_turn: list[int] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    belief: float = math.nan
    truncated: bool = False

    @property
    def failure(self) -> Score | None:
        """The score of an episode whose environment failed, else None."""
        failed = next((reply for reply in self.replies if not reply.status.scorable), None)
        if failed is None:
            return None
        return Score.failed(failed.status, str(failed.info.get("reason", "the environment failed")))

    @property
    def done(self) -> bool:
        """Whether the episode has ended, in whatever way."""
        return bool(self.replies) and self.replies[-1].done


@dataclass(kw_only=True)
class EpisodeRollout(Rollout):
    """Plays episodes and has the rubric judge their records.

    Turn t of a sample draws from a seed of (seed, stream, step, group, task, sample, t) alone.

    Args:
        environment: makes the episodes.
        max_context: tokens a context may have; a longer one ends its episode as truncated.
        probe: whether to measure after every turn how probable the right answer has become (IGPO), which then is the
            turn's reward; the probe is a pass of its own: it changes neither what is drawn nor what stands in the
            context.
    """

    environment: ConversationEnvironment
    max_context: int
    probe: bool = False

    def ask(
        self,
        requests: Sequence[Request],
        step: int,
        parameters: SamplingParameters,
        stream: str,
        first_group: int = 0,
    ) -> TrajectoryBatch:
        """Play and judge every request; each request becomes one group."""
        episodes = self.play(requests, step, parameters, stream, first_group)
        return episode_batch(episodes, self.judge(episodes), self.rubric.component_names, step, self.probe)

    def judge(self, episodes: Sequence[Episode]) -> list[Score]:
        """Return one score an episode: the rubric's, or the failure of an environment that failed."""
        records = [episode.conversation.record() for episode in episodes]
        tasks = [episode.task for episode in episodes]
        scores = verify_answers(self.rubric, self.pool, self.processes, tasks, records)
        return [episode.failure or score for episode, score in zip(episodes, scores, strict=True)]

    def play(
        self, requests: Sequence[Request], step: int, parameters: SamplingParameters, stream: str, first_group: int = 0
    ) -> list[Episode]:
        """Play every request `n` times to the end; the episodes come back in the order of requests and samples."""
        episodes = [
            self._start(
                request.task, group, sample, request_seed(self.seed, stream, step, group, request.task.id, sample)
            )
            for group, request in enumerate(requests, start=first_group)
            for sample in range(request.n)
        ]
        with self.sampler.remembering():
            if self.probe:
                self._probe(episodes)
            for turn in range(self.environment.max_turns):
                live = [episode for episode in episodes if not episode.done]
                if not live:
                    break
                self._turn(live, turn, parameters)
        return episodes

    def _start(self, task: Task, group: int, sample: int, seed: int) -> Episode:
        conversation = self.environment.reset(task, seed)
        episode = Episode(task, group, sample, seed, conversation)
        row = Row()
        row.add(Role.PROMPT, self.policy.render(task.prompt, task.images), 0)
        episode.rows.append(row)
        return episode

    def _turn(self, live: list[Episode], turn: int, parameters: SamplingParameters) -> None:
        room = []
        for episode in live:
            if episode.rows[-1].has_room(parameters, self.max_context):
                room.append(episode)
            else:
                episode.truncated = True
                episode.replies.append(Reply(done=True, info={"end": "context is full"}))
                episode.row_of_turn.append(-1)
        requests = [episode.rows[-1].request(episode.seed, turn, episode.task.images) for episode in room]
        completions = self.processes.gather_shares(self.sampler.generate(self.processes.share(requests), parameters))
        for episode, completion in zip(room, completions, strict=True):
            self._apply(episode, turn, completion)
        if self.probe:
            self._probe([episode for episode in room if not episode.done])

    def _apply(self, episode: Episode, turn: int, completion: Completion) -> None:
        row = episode.rows[-1]
        reply = episode.conversation.step(row.add_turn(self.policy, completion, turn))
        if turn + 1 == self.environment.max_turns and not reply.done:
            reply = Reply(**{**vars(reply), "done": True})
        episode.replies.append(reply)
        episode.row_of_turn.append(len(episode.rows) - 1)
        episode.gains.append(0.0)
        if reply.done:
            return
        rebuilt = episode.conversation.context()
        if rebuilt is None:
            row.add_reply(self.policy, completion, reply.text, turn)
        else:
            fresh = Row()
            fresh.add(Role.PROMPT, self.policy.render(rebuilt, episode.task.images), turn + 1)
            episode.rows.append(fresh)

    def _probe(self, episodes: Sequence[Episode]) -> None:
        """Measure the belief in the right answer: the geometric mean probability of its tokens when it is forced."""
        asked, forced = [], []
        for episode in episodes:
            target = self.environment.target(episode.task)
            if target is None:
                continue
            begin, answer = (self.policy.tokenizer.encode(part, add_special_tokens=False) for part in target)
            asked.append(episode)
            forced.append(ForcedText((*episode.rows[-1].ids, *begin), tuple(answer), episode.task.images))
        for episode, logp in zip(asked, self.sampler.logp(forced), strict=True):
            belief = math.exp(float(logp.mean()))
            if episode.gains and not math.isnan(episode.belief):
                episode.gains[-1] = belief - episode.belief
            episode.belief = belief


def episode_batch(
    episodes: Sequence[Episode],
    scores: Sequence[Score],
    component_names: tuple[str, ...],
    version: int,
    use_gains: bool = False,
) -> TrajectoryBatch:
    """Lay finished episodes out: one row a context, one entry of the turn table a turn.

    Rows of one episode share group and outcome, and `rows["trajectory"]` says which belong together. Turn rewards are
    the environment's, or with `use_gains` the gains of the belief probe.
    """
    rows: list[Row] = []
    owner: list[int] = []
    turns: list[Turn] = []
    for index, episode in enumerate(episodes):
        first = len(rows)
        used = [row for row in episode.rows if any(segment.role == Role.ACTION for segment in row.segments)]
        rows += used or episode.rows[:1]
        owner += [index] * (len(used) or 1)
        earned = episode.gains if use_gains else episode.conversation.rewards() or [0.0] * len(episode.replies)
        for number, (reply, where) in enumerate(zip(episode.replies, episode.row_of_turn, strict=True)):
            if where >= 0:
                reward = earned[number]
                turns.append(
                    Turn(first + where, number, reward, reply.done, _key(reply.state_key), _key(reply.action_key))
                )
    batch = TrajectoryBatch.from_segments(
        [[(segment.role, segment.ids, segment.turn, segment.logp) for segment in row.segments] for row in rows],
        [episodes[index].group for index in owner],
        turns,
        truncated=[episodes[index].truncated for index in owner],
        version=version,
        columns={
            "task": [episodes[index].task for index in owner],
            "answer": [episodes[index].conversation.record() for index in owner],
            "score": [scores[index] for index in owner],
            "trajectory": [(episodes[index].group, episodes[index].sample) for index in owner],
            "images": [episodes[index].task.images for index in owner],
        },
    )
    return fill_scores(batch, batch.rows["score"], component_names)


def _key(text: str) -> int:
    """Return a 63-bit number for a state or action key; the empty key is 0."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1 if text else 0

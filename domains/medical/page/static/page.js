// The page of `scirl play medical`. The server holds the state; every text is set by textContent, never as HTML.

const AUTOPLAY_MS = 1200;

const at = (id) => document.getElementById(id);
const page = { session: "", longest: 0, believes: false, turns: 0, playing: null, busy: false, last: null };

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function choices(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => {
    const option = make("option", "", text);
    option.value = value;
    return option;
  }));
}

const percent = (p) => `${(100 * p).toFixed((p > 0.0995 && p < 0.9995) || p === 0 || p === 1 ? 0 : 1)} %`;
const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
const gainText = (gain) => `information gain (SIG) ${gain.toFixed(3)}`;

// -- the server -----------------------------------------------------------------------------------------------------

async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("the page's server does not answer; is `scirl play medical` still running?");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// One request at a time: what is pressed while one is under way is ignored. Returns null when there is no new state.
async function act(path, body) {
  if (page.busy) return null;
  page.busy = true;
  page.last = send(path, body);
  const state = await page.last;
  page.busy = false;
  return state;
}

async function send(path, body) {
  tell("");
  at("room").setAttribute("aria-busy", "true");
  try {
    const state = await post(path, { session: page.session, ...body });
    render(state);
    return state;
  } catch (error) {
    pause();
    tell(error.message);
    return null;
  } finally {
    at("room").removeAttribute("aria-busy");
  }
}

function tell(message) {
  at("error").textContent = message;
  at("error").hidden = !message;
}

// -- what is shown --------------------------------------------------------------------------------------------------

function render(state) {
  at("intro").hidden = true;
  at("room").hidden = false;
  at("title").textContent = `Patient ${state.patient}, ${state.watching ? `doctor: ${state.doctor}` : "you are the doctor"}`;
  renderTranscript(state);
  at("left").textContent = state.done ? "The consultation has ended." : leftText(state.left);
  at("ask").hidden = state.done || state.watching || state.left === 0;
  at("answer").hidden = state.done || state.watching;
  at("watch").hidden = state.done || !state.watching;
  renderBeliefs(state.belief);
  renderReview(state);
}

function leftText(left) {
  if (left === 0) return "No question is left: answer now.";
  return left === 1 ? "One question is left." : `${left} questions are left.`;
}

function renderTranscript(state) {
  const list = at("transcript");
  if (page.turns === 0) {
    const known = state.known.length ? state.known.join("\n") : "Nothing is known yet.";
    list.replaceChildren(message("patient", "Known at the start", `${known}\n${state.question}`));
    choices(at("option"), [["", "choose ..."], ...state.options.map(({ label, text }) => [label, `${text} (${label})`])]);
  }
  // Turns that are shown already stay, so that a screen reader reads only what is new.
  for (const turn of state.turns.slice(page.turns)) list.append(...messages(turn, state));
  page.turns = state.turns.length;
  const gains = list.querySelectorAll(".gain");
  state.turns.forEach((turn, index) => {
    gains[index].textContent = turn.gain === null ? "" : gainText(turn.gain);
  });
  at("chat").scrollTop = at("chat").scrollHeight;
}

function message(side, who, text) {
  const item = make("li", side);
  item.append(make("span", "who", who), make("span", "text", text));
  return item;
}

function messages(turn, state) {
  const who = state.watching ? `Doctor (${state.doctor})` : "Doctor (you)";
  const text = turn.kind === "answer" ? `Diagnosis: ${turn.choice ? turn.choice.text : turn.text}` : turn.text;
  const asked = message("doctor", who, text);
  const marks = make("span", "marks");
  marks.append(...turn.marks.map((mark) => make("span", "mark", mark)));
  asked.append(marks, make("span", "gain"));
  return turn.reply === null ? [asked] : [asked, message("patient", "Patient", turn.reply)];
}

function renderBeliefs(bars) {
  at("beliefs").hidden = !page.believes;
  const list = at("bars");
  const old = new Map([...list.children].map((item) => [item.dataset.label, item]));
  list.replaceChildren(...bars.map((bar) => {
    const item = old.get(bar.label) ?? barItem(bar);
    const points = Math.round(100 * (bar.p - bar.before));
    const change = item.querySelector(".change");
    item.querySelector(".value").textContent = percent(bar.p);
    change.textContent = points ? ` ${points > 0 ? "+" : "\u2212"}${Math.abs(points)}` : "";
    change.className = `change ${points > 0 ? "up" : "down"}`;
    return item;
  }));
  // The widths are set in a frame of their own, so that bars that have just been made move too.
  requestAnimationFrame(() => {
    bars.forEach((bar, index) => {
      list.children[index]?.querySelector(".fill").style.setProperty("--p", `${100 * bar.p}%`);
    });
  });
}

function barItem(bar) {
  const item = make("li");
  item.dataset.label = bar.label;
  const p = make("span", "p");
  p.append(make("span", "value"), make("span", "change"));
  const track = make("div", "track");
  const fill = make("div", "fill");
  fill.style.setProperty("--p", `${100 * bar.before}%`);
  track.append(fill);
  item.append(make("span", "name", bar.text), p, track);
  return item;
}

// -- the review -----------------------------------------------------------------------------------------------------

const VERDICTS = { right: "Right", wrong: "Wrong", none: "No diagnosis was named", failed: "The patient failed" };

function renderReview({ review }) {
  at("review").hidden = !review;
  if (!review) return;
  const verdict = at("verdict");
  verdict.className = review.outcome;
  verdict.textContent = review.outcome === "failed"
    ? `${VERDICTS.failed}: ${review.failure}`
    : `${VERDICTS[review.outcome]}: the diagnosis is ${review.truth.text}`;
  at("findings").replaceChildren(
    make("p", "note", `Case ${review.case}`), ...learned(review), ...missed(review), ...redFlags(review), ...greedy(review),
  );
}

function learned({ belief, learned: share }) {
  if (share === null) return [];
  const [first, last] = [belief[0], belief[belief.length - 1]];
  return [make("p", "", `The probability of the right diagnosis went from ${percent(first)} to ${percent(last)}; the `
    + `questions gained ${percent(share)} of the information that the unknown facts hold (SIG).`)];
}

function missed({ missed: facts }) {
  if (!facts.length) return [];
  return [make("h3", "", "Never asked, of most weight"), listed("ul", facts.map(
    ({ text, weight }) => `${text} (weight ${weight.toFixed(3)})`))];
}

function redFlags({ red_flags: flags }) {
  if (!flags) return [];
  const text = flags.coverage === null
    ? "No red flag of the table concerns the first complaint."
    : `${percent(flags.coverage)} of the findings that the first complaint's red flags call for were known or asked for.`;
  return [make("h3", "", "Red flags"), make("p", "", text)];
}

function greedy({ greedy: other }) {
  if (!other) return [];
  const answered = other.answer ? `names ${other.answer} (${other.outcome})` : "names nothing";
  const asked = other.turns.length === 1 ? "one question" : `${other.turns.length} questions`;
  return [
    make("h3", "", "Greedy information gain with this patient"),
    make("p", "", `It asks ${asked}, gains ${percent(other.learned)} and ${answered}.`),
    listed("ol", other.turns.map(({ text, reply, gain }) => `${reply.startsWith(text) ? reply : `${text} ${reply}`} (${gain.toFixed(3)})`)),
  ];
}

function listed(tag, texts) {
  const list = make(tag);
  list.append(...texts.map((text) => make("li", "", text)));
  return list;
}

// -- what a person does ---------------------------------------------------------------------------------------------

async function begin(patient) {
  pause();
  await page.last;
  page.turns = 0;
  const state = await act("/api/begin", { patient, doctor: at("doctor").value });
  if (!state) return;
  at("number").value = state.patient;
  at("question").value = "";
  focusOn(state.watching ? "step" : state.left ? "question" : "option");
}

function focusOn(id) {
  at(id).focus({ preventScroll: true });
  at(id).scrollIntoView({ block: "nearest" });
}

async function ask() {
  const question = at("question").value;
  if (question.length > page.longest) {
    tell(`question has ${question.length} characters; allowed are ${page.longest}`);
    return;
  }
  const state = await act("/api/ask", { question });
  if (!state) return;
  at("question").value = "";
  focusOn(state.done ? "verdict" : state.left ? "question" : "option");
}

async function step() {
  const state = await act("/api/step", {});
  if (state?.done) focusOn("verdict");
  return state;
}

async function play() {
  const run = {};
  page.playing = run;
  label("Pause");
  await page.last;
  while (page.playing === run) {
    const state = await step();
    if (!state || state.done) pause();
    else await sleep(AUTOPLAY_MS);
  }
}

function pause() {
  page.playing = null;
  label("Play");
}

function label(text) {
  at("play").textContent = text;
}

function onSubmit(id, action) {
  at(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

onSubmit("setup", () => begin(at("number").valueAsNumber));
onSubmit("ask", ask);
onSubmit("answer", async () => {
  if (await act("/api/answer", { option: at("option").value })) focusOn("verdict");
});
at("next").addEventListener("click", () => begin("next"));
at("again").addEventListener("click", () => begin("next"));
at("random").addEventListener("click", () => begin("random"));
at("step").addEventListener("click", () => { pause(); step(); });
at("play").addEventListener("click", () => (page.playing === null ? play() : pause()));
at("show").addEventListener("change", () => { at("shown").hidden = !at("show").checked; });

async function open() {
  const opened = await post("/api/open", {});
  Object.assign(page, { session: opened.session, longest: opened.longest, believes: opened.believes });
  choices(at("doctor"), opened.doctors.map((name) => [name, name]));
  choices(at("suggestions"), opened.suggestions.map((text) => [text, ""]));
  at("number").max = opened.patients;
  at("patients").textContent = `(1 to ${opened.patients})`;
}

open().catch((error) => tell(error.message));

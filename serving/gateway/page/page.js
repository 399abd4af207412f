// The page: asks the gateway's own API, and shows what comes.
const $ = id => document.getElementById(id);
const TEACHER = "teacher", KEY = "rats-api-key";
const state = { student: null, teacher: null, drawing: null };

function headers() {
  const key = sessionStorage.getItem(KEY);
  return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
}

async function ask(path, options = {}) {
  const response = await fetch(path, { headers: headers(), ...options });
  if (response.ok) return response;
  const { error } = await response.json();
  throw Object.assign(new Error(error.message), { status: response.status });
}

// Yields the JSON of each server-sent event.
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = JSON.parse(block.split("\n").find(line => line.startsWith("data: ")).slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const seconds = value => value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
const chosenSteps = () => state.student.steps[Number($("steps").value)];

function showSteps() {
  $("steps-shown").textContent = chosenSteps();
  $("steps").setAttribute("aria-valuetext", `${chosenSteps()} steps`);
}

function offer(models) {
  state.student = models.find(model => !model.teacher) ?? models[0];
  state.teacher = models.find(model => model.teacher && model !== state.student);
  const { id, version, size, steps, examples } = state.student;
  $("model").textContent = `${id}, version ${version}, ${size.replace("x", " × ")} pixels`;
  $("steps").max = steps.length - 1;
  $("steps").value = steps.length - 1;
  $("stops").replaceChildren(...steps.map((_, place) => element("option", { value: place })));
  $("teacher-row").hidden = !state.teacher;
  $("examples").replaceChildren(...examples.map(prompt => element("button", {
    type: "button", textContent: prompt, onclick: () => { $("prompt").value = prompt; $("form").requestSubmit(); },
  })));
  $("prompt").placeholder = examples[0] ?? $("prompt").placeholder;
}

// What a link says: everything that decides the pictures.
function fromLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (!link.has("prompt")) return false;
  $("prompt").value = link.get("prompt");
  const place = state.student.steps.indexOf(Number(link.get("steps")));
  if (place >= 0) $("steps").value = place;
  for (const name of ["n", "seed"]) if (link.has(name)) $(name).value = link.get(name);
  $("teacher").checked = Boolean(state.teacher) && link.get("teacher") === "1";
  return $("form").checkValidity();
}

function toLink(wish) {
  const link = { prompt: wish.prompt, steps: wish.num_inference_steps, n: wish.n, seed: wish.seed };
  if ($("teacher").checked) link.teacher = 1;
  history.replaceState(null, "", `#${new URLSearchParams(link)}`);
  $("share-row").hidden = false;
}

function emptyPictures(model, wish) {
  const ratio = model.size.replace("x", " / ");
  return Array.from({ length: wish.n }, (_, index) => {
    const image = element("img", { alt: `${wish.prompt}, picture ${index + 1}` });
    const frame = element("div", { className: "frame" }, image);
    frame.style.aspectRatio = ratio;
    const progress = element("progress", { max: wish.num_inference_steps, value: 0 });
    const caption = element("figcaption", {}, `seed ${wish.seed + index}`);
    return element("figure", {}, frame, progress, caption);
  });
}

function show(figure, event) {
  const source = `data:image/${event.output_format};base64,${event.b64_json}`;
  const done = event.type === "image_generation.completed";
  figure.querySelector("progress").value = event.step;
  figure.dataset.step = event.step;
  figure.dataset.previews = Number(figure.dataset.previews ?? 0) + !done;
  if (event.withheld) {
    const frame = figure.querySelector(".frame");
    frame.classList.add("withheld");
    frame.textContent = "Withheld: not fit to be seen";
  } else {
    figure.querySelector("img").src = source;
  }
  if (!done) return;
  figure.classList.add("done");
  const save = element("a", { href: source, download: `${event.model}-${event.seed}.${event.output_format}`, textContent: "save" });
  figure.querySelector("figcaption").append(...(event.withheld ? [] : [save]));
}

// Draws one arm; resolves to [seconds, notes].
async function drawArm(model, wish, signal) {
  const time = element("small"), figures = emptyPictures(model, wish);
  const title = element("h2", {}, `${model.id} in ${wish.num_inference_steps} steps`, time);
  const arm = element("div", { className: "arm" }, title, element("div", { className: "pictures" }, ...figures));
  arm.dataset.model = model.id;
  $("arms").append(arm);
  const body = { ...wish, model: model.id, stream: true, partial_images: wish.num_inference_steps - 1 };
  const response = await ask("v1/images/generations", { method: "POST", body: JSON.stringify(body), signal });
  let last = 0, notes = [];
  for await (const event of eventsOf(response)) {
    show(figures[event.index], event);
    [last, notes] = [event.elapsed_s, event.notes];
    time.textContent = seconds(last);
  }
  return [last, notes];
}

function arms(wish) {
  const student = [state.student, wish];
  if (!$("teacher").checked || !state.teacher) return [student];
  return [student, [state.teacher, { ...wish, num_inference_steps: Math.max(...state.teacher.steps) }]];
}

async function draw() {
  const seed = $("seed").value === "" ? Math.floor(Math.random() * 2 ** 31) : Number($("seed").value);
  const wish = { prompt: $("prompt").value, n: Number($("n").value), num_inference_steps: chosenSteps(), seed };
  $("arms").replaceChildren();
  const drawing = state.drawing = new AbortController();
  $("draw").textContent = "Stop";
  $("draw").classList.add("busy");
  say("Drawing …");
  toLink(wish);
  try {
    // One after the other, so that each has the machine to itself and its time means something.
    let notes = [];
    const times = [];
    for (const [model, each] of arms(wish)) {
      const [time, news] = await drawArm(model, each, drawing.signal);
      times.push(`${model.id} ${seconds(time)} in ${each.num_inference_steps} steps`);
      notes = news;
    }
    const count = wish.n === 1 ? "One picture" : `${wish.n} pictures`;
    say([`${count}: ${times.join(", ")}.`, ...notes].join(" "));
  } catch (error) {
    if (error.status === 401) return needKey();
    say(drawing.signal.aborted ? "Stopped." : error.message, !drawing.signal.aborted);
  } finally {
    state.drawing = null;
    $("draw").textContent = "Draw";
    $("draw").classList.remove("busy");
  }
}

function needKey() {
  $("key-row").hidden = false;
  $("key").focus();
  say(sessionStorage.getItem(KEY) ? "This key is not known here." : "This server asks for an API key.", true);
}

async function start() {
  try {
    offer((await (await ask("v1/models")).json()).data);
    $("key-row").hidden = true;
    say("");
    if (fromLink()) draw();
    showSteps();
  } catch (error) {
    if (error.status === 401) needKey(); else say(error.message, true);
  }
}

$("form").addEventListener("submit", event => {
  event.preventDefault();
  if (state.drawing) state.drawing.abort();
  else if (state.student) draw();
});
$("steps").addEventListener("input", showSteps);
$("key").addEventListener("change", () => { sessionStorage.setItem(KEY, $("key").value.trim()); start(); });
$("share").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied.");
  } catch {
    say("Copy the address of this page: it is the link.");
  }
});
addEventListener("hashchange", () => { if (state.student && !state.drawing && fromLink()) { showSteps(); draw(); } });
start();

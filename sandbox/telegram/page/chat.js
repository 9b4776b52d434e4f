// Chat: one person at a browser plays several people who talk to a bot.
//
// In        the server's events by websocket; clicks and keys.
// Out       what the chosen person says and presses.
// Promises  events are applied in their order, each once; after a cut nothing is missing.

import { clockTime, dayName, drawMessage, element, hue, preview } from "./drawing.js";

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);

const state = {
  bot: null,
  people: new Map(),
  current: null, // the chosen person's id
  chat: null, // their chat as last loaded: started, blocked, keyboard
  messages: new Map(),
  seq: 0,
  payload: asked.get("start"), // what a deep link brought, until Start is pressed
  replyTo: null,
  waiting: new Map(), // query id → the button that waits for its answer
};

async function call(path, body) {
  const bot = asked.get("bot") ? `${path.includes("?") ? "&" : "?"}bot=${asked.get("bot")}` : "";
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path + bot, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    toast(error instanceof TypeError ? "The server does not answer." : error.message, "bad");
    return null;
  }
}

// People

function drawPeople() {
  const list = $("people");
  const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren();
  for (const person of state.people.values()) {
    const item = element("li");
    const button = element("button", "person");
    button.type = "button";
    if (person.id === state.current) button.setAttribute("aria-current", "true");
    const face = element("span", `face ${hue(person.id)}`, person.first_name[0].toUpperCase());
    face.setAttribute("aria-hidden", "true");
    const lines = element("span", "lines");
    const top = element("span", "line");
    top.append(element("b", "", person.first_name));
    if (person.last) top.append(element("time", "", clockTime(person.last.date)));
    const bottom = element("span", "line");
    bottom.append(element("span", "preview", preview(person.last)));
    if (person.unread) {
      const badge = element("span", "badge", String(Math.min(person.unread, 99)));
      badge.setAttribute("aria-label", `${person.unread} unread`);
      bottom.append(badge);
    }
    lines.append(top, bottom);
    button.append(face, lines);
    button.addEventListener("click", () => choose(person.id));
    item.append(button);
    list.append(item);
  }
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
}

async function choose(id, payload = null) {
  const person = state.people.get(id);
  if (!person) return;
  state.current = id;
  state.payload = payload;
  person.unread = 0;
  setReply(null);
  const address = new URL(location.href);
  address.searchParams.set("as", person.first_name);
  address.searchParams.delete("start");
  history.replaceState(null, "", address);
  document.title = `${person.first_name} · ${state.bot?.first_name ?? "Chat"}`;
  drawPeople();
  await loadChat();
  if (matchMedia("(hover: hover)").matches) $("text").focus();
}

async function loadChat() {
  if (!state.bot || !state.current) return;
  const id = state.current;
  const chat = await attempt(() => call(`/people/${id}/chat?limit=200`));
  if (!chat || state.current !== id) return;
  state.chat = chat;
  state.messages = new Map(chat.messages.map((message) => [message.message_id, message]));
  $("log").replaceChildren();
  for (const message of chat.messages) place(message, true);
  drawFoot();
  toEnd();
}

// Messages

const on = {
  open: openLink,
  copy: copyText,
  say: (text) => say(text),
  press,
};

function place(message, still = false) {
  const log = $("log");
  const drawn = drawMessage(message, on);
  const old = log.querySelector(`[data-id="${message.message_id}"]`);
  drawn.classList.toggle("still", still || Boolean(old));
  if (old) {
    // A card that is edited every second must not take the focus from under a finger.
    const focused = [...old.querySelectorAll(".key")].indexOf(document.activeElement);
    old.replaceWith(drawn);
    if (focused >= 0) drawn.querySelectorAll(".key")[focused]?.focus();
    return;
  }
  const day = dayName(message.date);
  const days = log.querySelectorAll(".day");
  if (!days.length || days[days.length - 1].textContent !== day) {
    log.append(element("li", "day", day));
  }
  log.append(drawn);
}

const scroller = $("scroll");
const nearEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 120;

function toEnd() {
  scroller.scrollTop = scroller.scrollHeight;
}

scroller.addEventListener("scroll", () => {
  $("to-end").hidden = nearEnd();
});
$("to-end").addEventListener("click", () => {
  scroller.scrollTo({ top: scroller.scrollHeight, behavior: "smooth" });
});
// A photo that has just been loaded pushes what is below it.
$("log").addEventListener("load", () => nearEnd() && toEnd(), true);

let quiet;
function showAction() {
  $("status").textContent = "typing…";
  $("status").classList.add("busy");
  clearTimeout(quiet);
  quiet = setTimeout(showStatus, 5000);
}

function showStatus() {
  clearTimeout(quiet);
  $("status").classList.remove("busy");
  $("status").textContent = state.bot ? "bot" : "waiting for the bot to connect…";
}

function apply(event) {
  state.seq = Math.max(state.seq, event.seq);
  if (event.kind === "profile") {
    loadState();
    return;
  }
  const person = state.people.get(event.person_id);
  if (!person) {
    loadState();
    return;
  }
  const here = event.person_id === state.current;
  if (event.kind === "message" || event.kind === "edited") {
    const newest = !person.last || event.message.message_id >= person.last.message_id;
    if (newest) person.last = event.message;
    if (event.kind === "message" && event.message.from.is_bot && (!here || document.hidden)) {
      person.unread = (person.unread ?? 0) + 1;
    }
    drawPeople();
  }
  // What the chat was loaded with is not applied again.
  if (!here || !state.chat || event.seq <= state.chat.seq) return;
  applyHere(event);
}

function applyHere(event) {
  const stick = nearEnd();
  if (event.kind === "message" || event.kind === "edited") {
    state.messages.set(event.message.message_id, event.message);
    if (event.message.from.is_bot) showStatus();
    place(event.message);
    if (!state.chat.started) {
      state.chat.started = true;
      drawFoot();
    }
    if (stick || !event.message.from.is_bot) toEnd();
  } else if (event.kind === "deleted") {
    state.messages.delete(event.deleted);
    $("log").querySelector(`[data-id="${event.deleted}"]`)?.remove();
  } else if (event.kind === "answer") {
    showAnswer(event.answer);
  } else if (event.kind === "keyboard") {
    state.chat.keyboard = event.keyboard;
    drawFoot();
    if (stick) toEnd();
  } else if (event.kind === "action") {
    showAction();
  } else if (event.kind === "blocked") {
    state.chat.blocked = event.blocked;
    drawFoot();
  }
}

function showAnswer(answer) {
  state.waiting.get(answer.query_id)?.classList.remove("waiting");
  state.waiting.delete(answer.query_id);
  if (answer.text && answer.alert) {
    $("alert-name").textContent = state.bot.first_name;
    $("alert-text").textContent = answer.text;
    if (!$("alert").open) $("alert").showModal();
  } else if (answer.text) {
    toast(answer.text);
  }
  if (answer.url) openLink(answer.url);
}

// What the chosen person does

async function say(text) {
  const body = { text, once: crypto.randomUUID?.() ?? String(Math.random()) };
  if (state.replyTo) body.reply_to = state.replyTo.message_id;
  const id = state.current;
  const said = await attempt(() => call(`/people/${id}/say`, body));
  if (said) setReply(null);
  return said !== null;
}

async function press(message, button, drawn) {
  if (button.url) return openLink(button.url);
  if (button.web_app) return openWebApp(button.web_app.url);
  if (button.copy_text) return copyText(button.copy_text.text);
  if (button.callback_data === undefined) return toast("This kind of button does nothing here.");
  drawn.classList.add("waiting");
  const body = { message_id: message.message_id, data: button.callback_data };
  const pressed = await attempt(() => call(`/people/${state.current}/press`, body));
  if (!pressed) return drawn.classList.remove("waiting");
  state.waiting.set(pressed.callback_query_id, drawn);
  setTimeout(() => drawn.classList.remove("waiting"), 10_000);
}

function openLink(url) {
  const link = new URL(url, location.href);
  const [, first] = link.pathname.split("/");
  const telegram = ["t.me", "telegram.me"].includes(link.hostname);
  const domain = telegram ? first : link.protocol === "tg:" ? link.searchParams.get("domain") : null;
  if (telegram && first === "share") {
    share(link.searchParams.get("url") ?? "", link.searchParams.get("text") ?? "");
  } else if (domain && domain.toLowerCase() === state.bot.username.toLowerCase()) {
    offerStart(link.searchParams.get("start") ?? "");
  } else if (telegram || link.protocol === "tg:") {
    toast("This leads to another place in Telegram, which is not here.");
  } else if (["http:", "https:"].includes(link.protocol)) {
    window.open(link.href, "_blank", "noopener");
  }
}

function offerStart(payload) {
  state.payload = payload;
  drawFoot();
  $("start").focus();
}

async function openWebApp(url) {
  // Opened before anything is awaited, or the browser takes it for an unwanted window.
  const opened = window.open("", "_blank");
  const answer = await attempt(() =>
    call("/page/web-app", { person_id: state.current, url }),
  );
  if (answer && opened) opened.location = answer.url;
  else opened?.close();
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast(text);
  }
}

function share(url, text) {
  $("share-text").textContent = [text, url].filter(Boolean).join("\n");
  const payload = new URL(url, location.href).searchParams.get("start");
  const others = [...state.people.values()].filter((person) => person.id !== state.current);
  $("share-people").replaceChildren(
    ...others.map((person) => {
      const button = element("button", "pill", `Open as ${person.first_name}`);
      button.addEventListener("click", () => choose(person.id, payload ?? ""));
      return button;
    }),
  );
  $("share-copy").onclick = () => copyText(url);
  $("share").showModal();
}

// The foot: composer, commands, keyboards

function drawFoot() {
  const { bot, chat } = state;
  const offered = state.payload !== null && state.payload !== undefined;
  const start = $("start");
  const blocked = Boolean(chat?.blocked);
  const showStart = Boolean(bot && chat) && (blocked || offered || !chat.started);
  start.hidden = !showStart;
  start.textContent = blocked ? "Unblock" : "Start";
  $("composer").hidden = !bot || !chat || showStart;
  $("welcome").hidden = Boolean(bot) && (!chat || chat.started);
  $("welcome-name").textContent = bot?.first_name ?? "No bot yet";
  const first = bot ? "Press Start to begin." : "The chat opens as soon as the bot connects.";
  $("welcome-text").textContent = bot?.description || first;
  $("block").textContent = blocked ? "Unblock bot" : "Stop and block bot";
  $("block").hidden = !chat?.started;
  $("menu").hidden = !commands().length;
  drawKeyboard(chat?.keyboard ?? null);
}

function drawKeyboard(keyboard) {
  const grid = $("keyboard");
  grid.replaceChildren();
  const rows = keyboard?.keyboard ?? [];
  grid.hidden = !rows.length;
  $("keyboard-toggle").hidden = !rows.length;
  $("text").placeholder = keyboard?.input_field_placeholder ?? "Message";
  if (keyboard?.force_reply && state.messages.has(keyboard.message_id)) {
    setReply(state.messages.get(keyboard.message_id));
  }
  for (const row of rows) {
    const line = element("div", "row");
    for (const button of row) {
      const made = element("button", `key ${button.style ?? ""}`);
      made.type = "button";
      made.append(element("span", "", button.text));
      made.addEventListener("click", () =>
        button.web_app ? openWebApp(button.web_app.url) : say(button.text),
      );
      line.append(made);
    }
    grid.append(line);
  }
}

function setReply(message) {
  state.replyTo = message;
  $("reply").hidden = !message;
  if (!message) return;
  $("reply-name").textContent = message.from.first_name;
  $("reply-text").textContent = preview(message);
  $("text").focus();
}

const commands = () => state.people.get(state.current)?.commands ?? [];
let picked = 0;

function showCommands(all) {
  const typed = $("text").value;
  const fits = (entry) => all || `/${entry.command}`.startsWith(typed);
  const found = all || /^\/\w*$/.test(typed) ? commands().filter(fits) : [];
  const list = $("commands");
  picked = Math.min(picked, Math.max(found.length - 1, 0));
  list.replaceChildren(
    ...found.map((entry, index) => {
      const row = element("button", "command-row");
      row.type = "button";
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(index === picked));
      row.append(element("b", "", `/${entry.command}`), element("span", "", entry.description));
      row.addEventListener("click", () => sendCommand(entry.command));
      return row;
    }),
  );
  list.hidden = !found.length;
  $("menu").setAttribute("aria-expanded", String(!list.hidden));
}

function hideCommands() {
  $("commands").hidden = true;
  $("menu").setAttribute("aria-expanded", "false");
}

function sendCommand(command) {
  $("text").value = "";
  grow();
  hideCommands();
  say(`/${command}`);
}

function grow() {
  const box = $("text");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 160)}px`;
  $("composer").classList.toggle("filled", Boolean(box.value.trim()));
}

$("menu").addEventListener("click", () => {
  picked = 0;
  if ($("commands").hidden) showCommands(true);
  else hideCommands();
});

$("text").addEventListener("input", () => {
  grow();
  picked = 0;
  showCommands(false);
});

$("text").addEventListener("keydown", (event) => {
  const rows = [...$("commands").children];
  const open = !$("commands").hidden && rows.length;
  if (event.key === "Escape") {
    hideCommands();
    setReply(null);
  } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    picked = (picked + (event.key === "ArrowDown" ? 1 : rows.length - 1)) % rows.length;
    rows.forEach((row, index) => row.setAttribute("aria-selected", String(index === picked)));
    rows[picked].scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (open) rows[picked].click();
    else $("composer").requestSubmit();
  }
});

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  grow();
  hideCommands();
  if (!(await say(text))) {
    $("text").value = text;
    grow();
  }
});

$("start").addEventListener("click", async () => {
  const payload = state.payload;
  if (state.chat.blocked) {
    await attempt(() => call(`/people/${state.current}/block`, { blocked: false }));
    state.chat.blocked = false;
  } else if (await say(payload ? `/start ${payload}` : "/start")) {
    state.payload = null;
  }
  drawFoot();
});

$("keyboard-toggle").addEventListener("click", () => {
  $("keyboard").hidden = !$("keyboard").hidden;
});
$("reply-cancel").addEventListener("click", () => setReply(null));

// The head

$("test-funds").addEventListener("click", async () => {
  const button = $("test-funds");
  button.disabled = true;
  const given = await attempt(() => call(`/people/${state.current}/test-funds`, {}));
  button.disabled = false;
  if (!given) return;
  const short = `${given.address.slice(0, 4)}…${given.address.slice(-4)}`;
  toast(`${given.lamports / 1e9} SOL of test funds are on their way to ${short}`, "good");
});

$("block").addEventListener("click", async () => {
  $("more").open = false;
  const blocked = !state.chat.blocked;
  await attempt(() => call(`/people/${state.current}/block`, { blocked }));
});

$("new-tab").addEventListener("click", () => {
  $("more").open = false;
  window.open(location.href, "_blank", "noopener");
});

document.addEventListener("click", (event) => {
  if (!$("more").contains(event.target)) $("more").open = false;
  if (!$("composer").contains(event.target)) hideCommands();
});

document.addEventListener("visibilitychange", () => {
  const person = state.people.get(state.current);
  if (document.hidden || !person?.unread) return;
  person.unread = 0;
  drawPeople();
});

$("add-person").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const person = await attempt(() => call("/people", { name: form.elements.name.value }));
  if (!person) return;
  form.reset();
  await loadState();
  choose(person.id);
});

function toast(text, kind = "") {
  const shown = element("div", `toast ${kind}`, text);
  $("toasts").append(shown);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => shown.classList.add("gone"), 4500);
  setTimeout(() => shown.remove(), 5000);
}

// The server

async function loadState() {
  const found = await call("/page/state");
  state.bot = found.bot;
  for (const person of found.people) {
    state.people.set(person.id, { unread: 0, ...state.people.get(person.id), ...person });
  }
  if (state.bot) {
    const [letter] = state.bot.first_name || "?";
    document.querySelectorAll(".bot-face").forEach((face) => (face.textContent = letter));
    $("bot-name").textContent = state.bot.first_name;
    $("test-funds").hidden = !found.test_funds;
  }
  showStatus();
  drawPeople();
  drawFoot();
  return found;
}

let again = 300;

function watch() {
  const address = new URL("/page/live", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("after", state.seq);
  if (asked.get("bot")) address.searchParams.set("bot", asked.get("bot"));
  const socket = new WebSocket(address);
  socket.addEventListener("open", () => {
    again = 300;
    showStatus();
  });
  socket.addEventListener("message", ({ data }) => JSON.parse(data).events.forEach(apply));
  socket.addEventListener("close", () => {
    $("status").textContent = "reconnecting…";
    setTimeout(watch, again);
    again = Math.min(again * 2, 3000);
  });
}

async function begin() {
  const found = await loadState().catch(() => null);
  if (!found?.bot) {
    setTimeout(begin, 700);
    return;
  }
  state.seq = found.seq;
  const name = (asked.get("as") ?? "").toLowerCase();
  const people = [...state.people.values()];
  const first = people.find((person) => person.first_name.toLowerCase() === name) ?? people[0];
  if (first) await choose(first.id, asked.get("start"));
  watch();
}

begin();

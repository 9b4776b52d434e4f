// Drawing: messages, texts and buttons as elements of the page.
//
// In        what the Bot API says of them.
// Out       elements; what a click means is told to whoever draws.
// Promises  no text is ever read as HTML: marks come from entities alone.

const TAGS = {
  bold: "b",
  italic: "i",
  underline: "u",
  strikethrough: "s",
  code: "code",
  pre: "pre",
  blockquote: "blockquote",
  expandable_blockquote: "blockquote",
  spoiler: "span",
};

const SIGNS = {
  url: "M7 17L17 7M9 7h8v8",
  web_app: "M4 6h16v12H4zM4 10h16",
  copy_text: "M9 9h11v11H9zM15 9V4H4v11h5",
};

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function clockTime(seconds) {
  return CLOCK.format(new Date(seconds * 1000));
}

export function dayName(seconds) {
  const day = new Date(seconds * 1000).toDateString();
  if (day === new Date().toDateString()) return "Today";
  if (day === new Date(Date.now() - 86_400_000).toDateString()) return "Yesterday";
  return DAY.format(new Date(seconds * 1000));
}

export function hue(id) {
  return `hue-${Math.abs(Number(id)) % 7}`;
}

export function preview(message) {
  if (!message) return "No messages yet";
  const text = message.text ?? message.caption ?? "";
  const prefix = message.photo ? "Photo " : message.document ? "File " : "";
  return (prefix + text).replace(/\s+/g, " ").trim();
}

const BLOCKS = new Set(["pre", "blockquote", "expandable_blockquote"]);

// Entities nest; one that sticks out of its parent is cut at the parent's end. A block stands on
// lines of its own, so the line breaks that set it apart in the text are not shown again.
export function drawText(text, entities = [], on) {
  const sorted = [...entities].sort((a, b) => a.offset - b.offset || b.length - a.length);
  let next = 0;
  const fill = (parent, from, to) => {
    let at = from;
    while (next < sorted.length && sorted[next].offset < to) {
      const entity = sorted[next];
      next += 1;
      const start = Math.max(entity.offset, at);
      const end = Math.min(entity.offset + entity.length, to);
      if (end <= start) continue;
      const block = BLOCKS.has(entity.type);
      parent.append(text.slice(at, block && text[start - 1] === "\n" ? start - 1 : start));
      const marked = drawEntity(entity, text.slice(start, end), on);
      fill(marked, start, end);
      parent.append(marked);
      at = block && text[end] === "\n" ? end + 1 : end;
    }
    parent.append(text.slice(at, to));
    return parent;
  };
  return fill(document.createDocumentFragment(), 0, text.length);
}

function drawEntity(entity, text, on) {
  const { type } = entity;
  if (type === "url" || type === "text_link") {
    const link = element("a");
    link.href = entity.url ?? text;
    link.rel = "noreferrer";
    link.addEventListener("click", (event) => {
      event.preventDefault();
      on.open(link.href);
    });
    return link;
  }
  if (type === "bot_command") {
    const command = element("button", "command");
    command.type = "button";
    command.addEventListener("click", () => on.say(text));
    return command;
  }
  const marked = element(TAGS[type] ?? "span", type);
  if (type === "pre" && entity.language) marked.dataset.language = entity.language;
  if (type === "code" || type === "pre") {
    marked.title = "Copy";
    marked.addEventListener("click", () => {
      if (getSelection().isCollapsed) on.copy(text);
    });
  }
  if (type === "spoiler") marked.addEventListener("click", () => marked.classList.add("shown"));
  return marked;
}

export function drawMessage(message, on) {
  const mine = !message.from.is_bot;
  const item = element("li", mine ? "message mine" : "message");
  item.dataset.id = message.message_id;
  const edited = message.edit_date && !mine;
  const bubble = element("div", edited ? "bubble edited" : "bubble");
  if (message.reply_to_message) bubble.append(drawQuote(message.reply_to_message));
  if (message.photo) bubble.append(drawPhoto(message.photo.at(-1), message.caption));
  if (message.document) bubble.append(drawDocument(message.document));
  const text = message.text ?? message.caption;
  if (text) {
    const said = element("div", "said");
    said.dir = "auto";
    said.append(drawText(text, message.entities ?? message.caption_entities, on));
    bubble.append(said);
  }
  const time = element("time", "", (edited ? "edited " : "") + clockTime(message.date));
  time.dateTime = new Date(message.date * 1000).toISOString();
  bubble.append(time);
  item.append(bubble);
  const rows = message.reply_markup?.inline_keyboard ?? [];
  if (rows.length) item.append(drawButtons(rows, message, on));
  return item;
}

function drawSign(path) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("class", "sign");
  drawing.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

function drawQuote(message) {
  const quote = element("div", "quote");
  quote.append(element("b", "", message.from.first_name), element("span", "", preview(message)));
  return quote;
}

function drawPhoto(size, caption) {
  const picture = element("img", "photo");
  picture.src = `/page/files/${encodeURIComponent(size.file_id)}`;
  picture.width = size.width;
  picture.height = size.height;
  picture.alt = caption ? `Photo: ${caption}` : "Photo";
  return picture;
}

function drawDocument(file) {
  const link = element("a", "document", file.file_name);
  link.href = `/page/files/${encodeURIComponent(file.file_id)}`;
  link.download = file.file_name;
  return link;
}

function drawButtons(rows, message, on) {
  const grid = element("div", "buttons");
  for (const row of rows) {
    const line = element("div", "row");
    for (const button of row) {
      const made = element("button", `key ${button.style ?? ""}`);
      made.type = "button";
      made.append(element("span", "", button.text));
      const sign = Object.keys(SIGNS).find((action) => button[action]);
      if (sign) made.append(drawSign(SIGNS[sign]));
      made.addEventListener("click", () => on.press(message, button, made));
      line.append(made);
    }
    grid.append(line);
  }
  return grid;
}

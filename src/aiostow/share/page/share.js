"use strict";

const MOST_FILES = 2; // uploaded at once
const MOST_PARTS = 4; // of one file, at once
const PAUSES = [500, 1000, 2000]; // ms before each retry of a part
const PASSING = [0, 408, 429, 500, 502, 503, 504]; // answers that may be better a moment later

const SENTENCES = {
  0: "The connection was lost.",
  403: "The link for this upload is no longer good.",
  404: "The file did not arrive whole.",
  409: "The link for this upload is no longer good.",
  410: "The link for this upload is no longer good.",
  413: "The file is too large.",
  503: "The storage is not answering.",
  507: "There is no room left in the storage.",
};

const KINDS = { image: "Image", video: "Video", audio: "Sound", text: "Text", font: "Font" };

const find = (selector, inside = document) => inside.querySelector(selector);
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
const uploads = new Set(); // those that have an entry on the page
const batch = new Set(); // those that the title counts, until the last of them ends
const made = []; // ids of what this page shared, newest first: they head the list
const rows = new Map(); // id -> {share, entry}, as listed
const announcements = [];
let entries = 0;
let running = 0;
let refreshes = 0;
let clockSkew = 0; // ms by which the server's clock, which ends the links, is ahead of ours

class Failure extends Error {
  constructor(status, sentence = SENTENCES[status] || `The server refused (${status}).`) {
    super(sentence);
    this.passing = PASSING.includes(status);
  }
}

// Words

const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const hoursInWords = (hours) => (hours % 24 ? many(hours, "hour") : many(hours / 24, "day"));

function kindInWords(type) {
  if (type === "application/octet-stream") return "File";
  if (type === "application/pdf") return "PDF document";
  if (/\/(zip|gzip|x-(tar|7z|rar|bzip|xz))/.test(type)) return "Archive";
  if (/\/(msword|vnd\.(ms-|openxml|oasis))/.test(type)) return "Document";
  return KINDS[type.split("/")[0]] || type;
}

function bytesInWords(bytes) {
  const units = ["KB", "MB", "GB", "TB"];
  if (bytes < 1000) return many(bytes, "byte");
  for (bytes /= 1024; bytes >= 999.5 && units.length > 1; units.shift()) bytes /= 1024;
  return `${bytes < 99.95 ? Number(bytes.toFixed(1)) : Math.round(bytes)} ${units[0]}`;
}

function lifeInWords(seconds) {
  if (seconds <= 0) return "expired";
  if (seconds < 60) return "less than a minute left";
  const graced = seconds + 60; // a link just made for a day has 24 hours left, not 23
  if (graced < 3600) return `${many(Math.floor(seconds / 60), "minute")} left`;
  if (graced < 48 * 3600) return `${many(Math.floor(graced / 3600), "hour")} left`;
  return `${many(Math.floor(graced / 86400), "day")} left`;
}

function waitInWords(seconds) {
  if (seconds < 60) return `about ${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 3600) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${Math.round(seconds / 3600)} h left`;
}

function show(entry, part, text) {
  const element = find(part, entry);
  if (element.textContent !== text) element.textContent = text;
}

function announce(text) {
  if (announcements.push(text) > 1) return;
  page.status.textContent = ""; // so that the same words are read again
  setTimeout(() => { page.status.textContent = announcements.splice(0).join(" "); }, 200);
}

function entryFrom(template, id, texts, actions) {
  const entry = template.content.cloneNode(true).firstElementChild;
  for (const [part, text] of Object.entries(texts)) show(entry, part, text);
  for (const [part, action] of Object.entries(actions)) find(part, entry).onclick = action;
  find(".name", entry).id = id;
  for (const control of entry.querySelectorAll("button, a, progress, input")) {
    control.setAttribute("aria-describedby", id);
  }
  return entry;
}

// Requests

async function call(method, path, told) {
  const body = told && JSON.stringify(told);
  const headers = told && { "Content-Type": "application/json" };
  const response = await fetch(path, { method, body, headers, cache: "no-store" })
    .catch(() => { throw new Failure(0, "The server cannot be reached."); });
  if (!response.ok) throw new Failure(response.status);
  return response;
}

function send({ signal }, method, url, body, headers = {}, onProgress = null) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Failure(0));
    const request = new XMLHttpRequest(); // fetch does not tell how far an upload has come
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (onProgress) request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onloadend = () => {
      if (request.status >= 200 && request.status < 300) resolve(request);
      else reject(new Failure(request.status));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

async function persist(attempt, action, pauses = PAUSES) {
  try {
    return await action();
  } catch (failure) {
    if (attempt.signal.aborted || !failure.passing || !pauses.length) throw failure;
    await new Promise((resolve) => setTimeout(resolve, pauses[0]));
    return persist(attempt, action, pauses.slice(1));
  }
}

function goOn(attempt) {
  if (attempt.cancelled) throw new Failure(0);
}

async function sendParts(upload, attempt, size, sendPart) {
  const count = Math.ceil(upload.file.size / size);
  let next = 0;
  async function work() {
    while (next < count) {
      const index = next++;
      const part = upload.file.slice(index * size, (index + 1) * size);
      const onProgress = (loaded) => showProgress(upload, attempt, index, loaded);
      await persist(attempt, () => sendPart(index, part, onProgress));
    }
  }
  await Promise.all(Array.from({ length: MOST_PARTS }, work));
  goOn(attempt);
}

async function sendS3Parts(upload, attempt, { part_size, parts, complete }) {
  const listed = [];
  await sendParts(upload, attempt, part_size, async (index, part, onProgress) => {
    const answer = await send(attempt, "PUT", parts[index], part, {}, onProgress);
    const tag = answer.getResponseHeader("ETag");
    if (!tag) throw new Failure(403, "The CORS rules of the bucket have to expose ETag.");
    listed[index] = `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`;
  });
  const body = `<CompleteMultipartUpload>${listed.join("")}</CompleteMultipartUpload>`;
  await persist(attempt, async () => {
    const answer = await send(attempt, "POST", complete, body);
    if (/<Error[\s>]/.test(answer.responseText)) throw new Failure(503); // under a 200
  });
}

async function sendAzureBlocks(upload, attempt, { url, headers, blocks }) {
  const others = { ...headers };
  delete others["x-ms-blob-type"];
  const ids = [];
  await sendParts(upload, attempt, blocks, (index, part, onProgress) => {
    ids[index] = btoa(String(index).padStart(6, "0"));
    const to = `${url}&comp=block&blockid=${encodeURIComponent(ids[index])}`;
    return send(attempt, "PUT", to, part, others, onProgress);
  });
  const latest = ids.map((id) => `<Latest>${id}</Latest>`).join("");
  const body = `<?xml version="1.0" encoding="utf-8"?><BlockList>${latest}</BlockList>`;
  await persist(attempt, () => send(attempt, "PUT", `${url}&comp=blocklist`, body, others));
}

function sendFile(upload, attempt, how) {
  if (how.parts) return sendS3Parts(upload, attempt, how);
  if (how.blocks && upload.file.size > how.blocks) return sendAzureBlocks(upload, attempt, how);
  const onProgress = (loaded) => showProgress(upload, attempt, 0, loaded);
  return send(attempt, "PUT", how.url, upload.file, how.headers, onProgress);
}

async function discard(attempt) {
  const { id, abort } = attempt.share || {};
  if (abort) await fetch(abort, { method: "DELETE" }).catch(() => {});
  if (id) await call("DELETE", `shares/${id}`).then(() => { attempt.share = null; }, () => {});
}

// Uploads

function addFiles(files) {
  if (!files.length) return;
  const added = files.map((file) => {
    const upload = { file };
    const id = `upload-${++entries}`;
    const texts = { ".name": file.name, ".size": bytesInWords(file.size) };
    upload.entry = entryFrom(page["upload-template"], id, texts, {
      ".cancel": () => cancel(upload),
      ".retry": () => retry(upload),
      ".dismiss": () => dismiss(upload),
    });
    page.uploads.append(upload.entry);
    uploads.add(upload);
    return upload;
  });
  page.uploading.hidden = false;
  announce(`Uploading ${files.length === 1 ? files[0].name : many(files.length, "file")}.`);
  for (const upload of added) queue(upload);
  added[0].entry.focus();
}

function queue(upload) {
  const aborter = new AbortController();
  const limit = Number(page.limit.value) || null;
  upload.attempt = {
    asked: { hours: Number(page.hours.value) || 24, once: page.once.checked, limit },
    abort: () => aborter.abort(), signal: aborter.signal, sent: [], samples: [],
  };
  upload.sent = 0;
  find("progress", upload.entry).value = 0;
  show(upload.entry, ".rate", "");
  show(upload.entry, ".left", "");
  if (limit && upload.file.size > limit) {
    return fail(upload, `The file is larger than ${bytesInWords(limit)}, the limit you chose.`);
  }
  batch.add(upload);
  setState(upload, "waiting", "Waiting");
  startNext();
}

function startNext() {
  for (const upload of uploads) {
    if (running < MOST_FILES && upload.state === "waiting") run(upload, upload.attempt);
  }
}

async function run(upload, attempt) {
  running += 1;
  setState(upload, "uploading");
  try {
    await share(upload, attempt);
    setState(upload, "done", "Shared");
    announce(`${upload.file.name} is shared. Its link can be copied.`);
    refresh();
  } catch (failure) {
    attempt.abort(); // the parts that are still on their way
    if (!attempt.cancelled) fail(upload, failure.message);
    await discard(attempt);
  } finally {
    running -= 1;
    startNext();
    showTitle();
  }
}

async function share(upload, attempt) {
  const { name, size } = upload.file;
  await upload.file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Failure(400, "This cannot be read. A folder has to be put into an archive first.");
  });
  const answer = await call("POST", "shares", { name, size, ...attempt.asked });
  attempt.share = await answer.json();
  goOn(attempt);
  await sendFile(upload, attempt, attempt.share);
  goOn(attempt);
  setState(upload, "finishing", "Finishing…");
  await persist(attempt, () => call("POST", `shares/${attempt.share.id}`));
  goOn(attempt);
  made.unshift(attempt.share.id);
}

function showProgress(upload, attempt, index, loaded) {
  const { entry, file } = upload;
  if (upload.attempt !== attempt || !batch.has(upload)) return;
  attempt.sent[index] = loaded;
  upload.sent = attempt.sent.reduce((sum, bytes) => sum + bytes, 0);
  find("progress", entry).value = upload.sent / (file.size || 1);
  if (upload.sent < file.size) setState(upload, "uploading");
  else setState(upload, "finishing", "Finishing…");
  showRate(upload);
  showTitle();
}

function showRate({ entry, file, sent, attempt: { samples } }) {
  const now = performance.now();
  if (samples.length && now - samples.at(-1).now < 400) return; // flickering words can't be read
  if (samples.push({ now, sent }) > 10) samples.shift();
  if (samples.length < 2) return;
  const rate = Math.max(0, sent - samples[0].sent) / (now - samples[0].now) * 1000;
  show(entry, ".rate", `${bytesInWords(Math.round(rate))}/s`);
  show(entry, ".left", rate ? waitInWords((file.size - sent) / rate) : "standing still");
}

function setState(upload, state, message = "") {
  const { entry } = upload;
  show(entry, ".message", message);
  if (upload.state === state) return;
  upload.state = entry.dataset.state = state;
  const ended = !["waiting", "uploading", "finishing"].includes(state);
  const focused = entry.contains(document.activeElement) && document.activeElement;
  find(".cancel", entry).hidden = ended;
  find(".retry", entry).hidden = !ended || state === "done";
  find(".dismiss", entry).hidden = !ended;
  if (focused && focused.hidden) find("button:not([hidden])", entry).focus();
  showTitle();
}

function fail(upload, sentence) {
  batch.delete(upload);
  setState(upload, "failed", sentence);
  announce(`${upload.file.name}: ${sentence}`);
}

function cancel(upload) {
  // A file of which all bytes are gone may arrive all the same: it is waited for, then removed.
  if (upload.state !== "finishing") upload.attempt.abort();
  upload.attempt.cancelled = true;
  batch.delete(upload);
  setState(upload, "cancelled", "Cancelled");
  announce(`${upload.file.name} was cancelled.`);
}

function retry(upload) {
  upload.old = [...(upload.old || []), upload.attempt].filter((attempt) => attempt.share);
  for (const attempt of upload.old) discard(attempt);
  queue(upload);
}

function dismiss(upload) {
  if (upload.state !== "done") discard(upload.attempt);
  takeAway(upload.entry);
  uploads.delete(upload);
  page.uploading.hidden = uploads.size === 0;
}

function takeAway(entry) {
  const next = entry.nextElementSibling || page["shares-heading"];
  const hadFocus = entry.contains(document.activeElement);
  entry.remove();
  if (hadFocus) next.focus();
}

function showTitle() {
  if (![...batch].some(({ state }) => state !== "done")) batch.clear();
  let [sent, size] = [0, 0];
  for (const upload of batch) {
    sent += upload.sent;
    size += upload.file.size;
  }
  const title = batch.size ? `${Math.floor(100 * sent / (size || 1))} % – Share` : "Share";
  if (document.title !== title) document.title = title;
}

// Shares

async function refresh() {
  const turn = ++refreshes;
  try {
    const response = await call("GET", "shares");
    const told = await response.json();
    if (turn !== refreshes) return; // a later answer is on its way
    clockSkew = (Date.parse(response.headers.get("Date")) || Date.now()) - Date.now();
    page.trouble.hidden = true;
    fillChoices(told);
    showShares(told.shares);
  } catch (failure) {
    if (turn === refreshes) complain(`${failure.message} The list may be out of date.`);
  }
}

function complain(sentence) {
  if (page.trouble.hidden) announce(sentence);
  page.trouble.textContent = sentence;
  page.trouble.hidden = false;
}

function fillChoices({ hours, limits, once }) {
  if (page.hours.options.length) return;
  for (const count of hours) page.hours.add(new Option(hoursInWords(count), count));
  for (const limit of limits) {
    page.limit.add(new Option(limit === null ? "No limit" : bytesInWords(limit), limit ?? ""));
  }
  if (hours.includes(24)) page.hours.value = "24";
  page.once.disabled = !once;
  if (!once) page["once-hint"].textContent = "Not with a storage that serves its links itself.";
}

function showShares(shares) {
  const rank = ({ id }) => (made.includes(id) ? made.indexOf(id) : made.length);
  shares.sort((one, other) => rank(one) - rank(other));
  const there = new Set(shares.map(({ id }) => id));
  for (const id of rows.keys()) if (!there.has(id)) removeRow(id);
  shares.forEach((told, index) => {
    const row = rows.get(told.id) || newRow(told);
    const before = page.shares.children[index] || null;
    if (before !== row.entry) page.shares.insertBefore(row.entry, before);
    row.share = told;
    showRow(row);
  });
  page.empty.hidden = shares.length > 0;
  for (const upload of uploads) if (upload.state === "done") handOver(upload);
}

function handOver(upload) {
  const row = rows.get(upload.attempt.share.id);
  if (!row) return;
  row.entry.classList.add("fresh");
  if (upload.entry.contains(document.activeElement)) find(".copy", row.entry).focus();
  dismiss(upload);
}

function newRow(told) {
  const link = new URL(told.link, location);
  const ends = new Date(told.expires * 1000);
  const row = { share: told };
  const { id, name, type, size } = told;
  const texts = { ".name": name, ".type": kindInWords(type), ".size": bytesInWords(size) };
  const entry = entryFrom(page["share-template"], `share-${id}`, texts, {
    ".copy": () => copy(entry, link.href),
    ".download": () => { if (told.once) setTimeout(refresh, 1000); },
    ".remove": () => askToRemove(entry, true),
    ".keep": () => askToRemove(entry, false),
    ".yes": () => remove(row),
  });
  find(".confirm", entry).addEventListener("keydown", ({ key }) => {
    if (key === "Escape") askToRemove(entry, false);
  });
  entry.dataset.id = id;
  find(".type", entry).title = type;
  find(".ends", entry).dateTime = ends.toISOString();
  find(".ends", entry).title = `Until ${ends.toLocaleString()}`;
  const download = find(".download", entry);
  download.href = link.href;
  download.download = name;
  // A link to a bucket counts as leaving the page, of which uploads would warn.
  if (link.origin !== location.origin) download.target = "_blank";
  row.entry = entry;
  rows.set(id, row);
  return row;
}

function showRow({ share: told, entry }) {
  const seconds = told.expires - (Date.now() + clockSkew) / 1000;
  const state = told.state === "active" && seconds <= 0 ? "expired" : told.state;
  const active = state === "active";
  // On a scale where an hour can still be seen beside a week.
  const left = active ? Math.min(1, Math.log1p(seconds / 3600) / Math.log1p(168)) : 0;
  find(".clock", entry).style.setProperty("--left", left.toFixed(3));
  show(entry, ".badge", active ? "one-time" : state);
  show(entry, ".ends", state === "used" ? "already downloaded" : lifeInWords(seconds));
  find(".badge", entry).hidden = active && !told.once;
  if (entry.dataset.state === state) return;
  entry.dataset.state = state;
  for (const part of [".copy", ".download", ".by-hand"]) {
    const control = find(part, entry);
    if (!active && control.contains(document.activeElement)) entry.focus();
    control.hidden = !active || part === ".by-hand";
  }
}

async function copy(entry, link) {
  try {
    await navigator.clipboard.writeText(link);
  } catch { // refused, or no HTTPS
    find(".by-hand", entry).hidden = false;
    find(".link", entry).value = link;
    find(".link", entry).select();
    return announce("The link is selected: copy it by the keyboard.");
  }
  announce("Copied");
  show(entry, ".copy", "Copied");
  setTimeout(() => show(entry, ".copy", "Copy link"), 2000);
}

function askToRemove(entry, asking) {
  find(".usual", entry).hidden = asking;
  find(".confirm", entry).hidden = !asking;
  find(asking ? ".keep" : ".remove", entry).focus();
}

async function remove({ share: { id, name }, entry }) {
  try {
    await call("DELETE", `shares/${id}`);
    removeRow(id);
    announce(`${name} was removed.`);
    refresh();
  } catch (failure) {
    askToRemove(entry, false);
    complain(`${name} was not removed. ${failure.message}`);
  }
}

function removeRow(id) {
  takeAway(rows.get(id).entry);
  rows.delete(id);
}

// The page

const drags = ({ dataTransfer }) => dataTransfer && dataTransfer.types.includes("Files");
const veil = (shown) => document.documentElement.classList.toggle("dragging", shown);

addEventListener("dragover", (event) => {
  if (!drags(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  veil(true);
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) veil(false); });
addEventListener("drop", (event) => {
  if (!drags(event)) return;
  event.preventDefault();
  veil(false);
  addFiles([...event.dataTransfer.files]);
});
page.pick.addEventListener("change", () => {
  addFiles([...page.pick.files]);
  page.pick.value = ""; // so that the same file can be picked again
});
addEventListener("beforeunload", (event) => { if (batch.size) event.preventDefault(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, 15000);
setInterval(() => {
  rows.forEach(showRow);
  for (const upload of uploads) if (upload.state === "uploading" && upload.sent) showRate(upload);
}, 1000);
refresh();

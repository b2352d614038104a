// The small page that needs no build: one knowledge base, one question after the other, answers with their sources.
"use strict";

const $ = (id) => document.getElementById(id);

// What a sign-on hands over leaves the address bar at once: in the fragment a ticket (tk) or an issuer's api_token (t),
// each good for a session; or a session itself, for old pages.
const fragment = new URLSearchParams(location.hash.slice(1));
const [ticket, apiToken] = [fragment.get("tk"), fragment.get("t")];
const token = location.pathname === "/h5/sso" && new URLSearchParams(location.search).get("token");
if (ticket || apiToken || token) history.replaceState(null, "", "/h5/");
let session = sessionStorage.getItem("session");
const chatSession = crypto.getRandomValues(new Uint8Array(16)).reduce((id, b) => id + b.toString(16).padStart(2, "0"), "");
const rounds = [];
let knowledgeBases = [];
// Whether there is a demo link, and a passphrase to ask for.
let demo = false;

async function enter() {
  if (token) session = token;
  if (ticket || apiToken) {
    const options = { method: "POST", headers: { "Content-Type": "application/json", "Accept-Language": "zh" } };
    const response = await fetch("/auth/session", { ...options, body: JSON.stringify(ticket ? { ticket } : { api_token: apiToken }) });
    if (!response.ok) throw new Error("登录链接已用过或已过期，请重新进入。");
    session = (await response.json()).data.session_token;
  }
  if (ticket || apiToken || token) sessionStorage.setItem("session", session);
}

async function call(path, body) {
  const options = { headers: { Authorization: `Bearer ${session}`, "Accept-Language": "zh" } };
  if (body) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.headers.Accept = "text/event-stream";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) sessionStorage.removeItem("session");
  const again = demo ? "登录已过期，请重新打开演示链接。" : "登录已过期，请重新进入。";
  throw new Error(response.status === 401 ? again : problem.msg || `HTTP ${response.status}`);
}

// Frames of server-sent events; the network may cut them anywhere, also inside a character.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const field = (name) => lines.filter((l) => l.startsWith(name + ": ")).map((l) => l.slice(name.length + 2)).join("\n");
      if (field("event")) yield { event: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

function showSources(article, hits) {
  const details = article.querySelector(".sources");
  details.hidden = hits.length === 0;
  details.querySelector("summary").textContent = `找到 ${hits.length} 段相关资料`;
  for (const hit of hits) {
    const item = document.createElement("li");
    const place = document.createElement("button");
    const text = document.createElement("q");
    place.textContent = hit.place;
    place.title = "下载原文件";
    place.addEventListener("click", () => download(hit.file_name).catch((error) => (place.textContent = error.message)));
    text.textContent = hit.text;
    item.append(place, text);
    details.querySelector("ol").append(item);
  }
}

// With the session in a header, which a plain link cannot send.
async function download(fileName) {
  const query = new URLSearchParams({ knowledge_base_name: $("kb").value, file_name: fileName });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await call(`/knowledge_base/download_doc?${query}`)).blob());
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function ask(question) {
  const article = $("turn").content.firstElementChild.cloneNode(true);
  const answer = article.querySelector(".answer");
  const text = answer.querySelector(".text");
  article.querySelector(".question").textContent = question;
  answer.classList.add("waiting");
  $("welcome").hidden = true;
  $("log").append(article);
  $("send").disabled = true;
  const log = $("log");
  const follow = () => (log.scrollTop = log.scrollHeight);
  follow();
  try {
    const body = {
      query: question, knowledge_base_name: $("kb").value, session_id: chatSession, stream: true,
      history: rounds.slice(-3).flatMap(([q, a]) => [{ role: "user", content: q }, { role: "assistant", content: a }]),
    };
    let finished = false;
    for await (const { event, data } of events(await call("/chat/knowledge_base_chat", body))) {
      if (event === "sources") showSources(article, data.hits);
      if (event === "delta") {
        answer.classList.remove("waiting");
        text.textContent += data.text;
      }
      if (event === "failed") throw new Error(data.error.message);
      if (event === "finished") finished = true;
      follow();
    }
    if (!finished) throw new Error("连接中断，回答不完整，请重试。");
    rounds.push([question, text.textContent]);
  } catch (error) {
    const problem = document.createElement("p");
    problem.className = "problem";
    problem.textContent = error.message;
    answer.append(problem);
  } finally {
    answer.classList.remove("waiting");
    $("send").disabled = false;
    follow();
  }
}

async function showKnowledgeBase() {
  const chosen = knowledgeBases.find((kb) => kb.kb_name === $("kb").value);
  const found = await call(`/recommend/question?num=4&kb_name=${encodeURIComponent($("kb").value)}`);
  const questions = (await found.json()).data;
  const about = [chosen?.kb_info, `${chosen?.file_count ?? 0} 个文件`, questions.length ? "试着问我：" : "请输入问题"];
  $("info").textContent = about.filter(Boolean).join(" · ");
  $("suggestions").replaceChildren(
    ...questions.map((row) => {
      const button = document.createElement("button");
      button.textContent = row.query;
      button.addEventListener("click", () => ask(row.query));
      return button;
    }),
  );
}

function refuse(message) {
  $("info").textContent = message;
  $("enter").hidden = Boolean(session) || !demo;
  $("ask").hidden = true;
  $("kb").hidden = true;
}

async function start() {
  demo = await fetch("/h5/switches.json").then((response) => response.json()).then((switches) => switches.demo).catch(() => false);
  if (location.pathname === "/h5/401") return refuse(new URLSearchParams(location.search).get("message") || "未授权访问");
  try {
    await enter();
    const demoWords = "请从演示链接进入，或在这里输入口令：两者在启动服务时打印在终端里。";
    if (!session) return refuse(demo ? demoWords : "请从你自己的系统进入。");
    knowledgeBases = (await (await call("/knowledge_base/list_knowledge_bases_v2")).json()).data;
    $("kb").replaceChildren(...knowledgeBases.map((kb) => new Option(kb.kb_zh_name || kb.kb_name, kb.kb_name)));
    if (knowledgeBases.length === 0) return refuse("还没有知识库：请用接口创建一个并上传文件。");
    await showKnowledgeBase();
  } catch (error) {
    refuse(error.message);
  }
}

$("kb").addEventListener("change", () => showKnowledgeBase().catch((error) => refuse(error.message)));
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || $("send").disabled) return;
  $("question").value = "";
  ask(question);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
start();

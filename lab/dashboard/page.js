"use strict";
// The page: the state comes as server-sent events and is drawn whole; text only ever goes in as text.

const $ = (id) => document.getElementById(id);
let engaged = null;

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text ?? "";
  if (className) made.className = className;
  return made;
}

const clock = (instant) => (instant ? new Date(instant).toLocaleTimeString([], { hour12: false }) : "");
const fixed = (value, digits, unit = "") => (value === null || value === undefined ? "–" : value.toFixed(digits) + unit);

function rows(body, items, none, cells) {
  const drawn = items.map((item) => {
    const row = document.createElement("tr");
    row.append(...cells(item));
    return row;
  });
  if (!drawn.length) {
    const row = document.createElement("tr");
    const cell = element("td", none, "quiet");
    cell.colSpan = 5;
    row.append(cell);
    drawn.push(row);
  }
  body.replaceChildren(...drawn);
}

function list(where, items, none, text) {
  const drawn = items.map((item) => element("li", text(item)));
  where.replaceChildren(...(drawn.length ? drawn : [element("li", none, "quiet")]));
}

function badge(where, text, className) {
  where.textContent = text;
  where.className = `badge ${className}`;
}

function drawControl(control) {
  const button = $("switch");
  button.disabled = !control;
  if (!control) {
    engaged = null;
    badge($("mode"), "mode unknown", "warn");
    badge($("switch-state"), "kill switch unknown", "bad");
    return;
  }
  engaged = control.killSwitch !== "off";
  const percent = control.mode === "canary" ? ` ${control.canaryPercent || 10} %` : "";
  badge($("mode"), control.mode + percent, { live: "good", canary: "warn" }[control.mode] || "accent");
  const who = engaged ? ` by ${control.by || "?"}${control.reason ? `: ${control.reason}` : ""}` : "";
  badge($("switch-state"), engaged ? `kill switch on${who}` : "kill switch off", engaged ? "bad" : "good");
  button.textContent = engaged ? "Release the kill switch" : "Stop all automation";
  button.className = engaged ? "" : "danger";
}

function drawFigures(figures, requests, incidents) {
  const seen = figures || {};
  const rate = seen.exportedSuccessRate;
  $("success").textContent = rate === null || rate === undefined ? "–" : `${(100 * rate).toFixed(0)} %`;
  $("success").className = `value ${rate === null || rate === undefined ? "" : rate < 0.95 ? "bad" : "good"}`;
  $("burn").textContent = fixed(seen.errorBudgetBurn, 1, "×");
  $("burn").className = `value ${seen.errorBudgetBurn > 1 ? "bad" : ""}`;
  $("oldest").textContent = fixed(seen.oldestOrderSeconds, 1, " s");
  $("orders").textContent = fixed(seen.ordersPerSecond, 1);
  const counts = (requests && requests.counts) || {};
  $("acted").textContent = requests ? counts.allowed || 0 : "–";
  $("intended").textContent = requests ? counts.shadowed || 0 : "–";
  $("refused").textContent = requests ? counts.refused || 0 : "–";
  const open = (incidents || []).filter((incident) => incident.status !== "resolved").length;
  $("open-count").textContent = incidents ? `${open} open` : "";
}

function where(labels) {
  const telling = ["partition", "pod", "slo", "automation", "job"].filter((key) => labels && labels[key]);
  return telling.map((key) => `${key} ${labels[key]}`).join(", ");
}

function request(record) {
  const kind = [record.resource, record.subresource].filter(Boolean).join("/");
  return [record.verb, kind, [record.namespace, record.name].filter(Boolean).join("/")].filter(Boolean).join(" ");
}

function decision(record) {
  if (record.decision === "refused") return ["refused", "bad"];
  if (record.code >= 400 || record.code === 0) return [`failed (${record.code || "no answer"})`, "warn"];
  if (record.decision === "shadowed") return [record.canary === "outside" ? "outside the canary" : "intent", "accent"];
  return record.dry_run ? ["dry run", "quiet"] : ["done", "good"];
}

function draw(state) {
  drawControl(state.control);
  drawFigures(state.figures, state.requests, state.incidents);
  rows($("incidents"), state.incidents || [], "none", (incident) => [
    element("td", clock(incident.startsAt)),
    element("td", incident.alertname),
    element("td", where(incident.labels)),
    element("td", incident.acknowledgedBy && incident.status === "acknowledged" ? `with ${incident.acknowledgedBy}` : incident.status,
      `short ${{ triggered: "bad", acknowledged: "warn" }[incident.status] || "good"}`),
  ]);
  rows($("requests"), (state.requests || { last: [] }).last, "nothing yet", (record) => {
    const [text, className] = decision(record);
    return [
      element("td", clock(record.time)),
      element("td", record.actor, "short"),
      element("td", request(record)),
      element("td", text, `short ${className}`),
      element("td", record.fault ? `fault: ${record.fault}` : record.reason || record.note, "told"),
    ];
  });
  list($("posts"), state.posts || [], "nobody has said anything yet", (post) => `${clock(post.at)} ${post.by}: ${post.text}`);
  list($("faults"), state.faults || [], "none", (entry) =>
    `${entry.fault}${entry.decoy ? " (decoy)" : ""} on ${entry.target.name}, since ${clock(entry.appliedAt)}${entry.expiresAt ? `, until ${clock(entry.expiresAt)}` : ""}`);
  const away = Object.entries(state.away).map(([name, why]) => `${name}: ${why}`);
  notice(away.length ? `Not answering: ${away.join("; ")}` : "");
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

$("switch").addEventListener("click", () => {
  const on = !engaged;
  $("ask-title").textContent = on ? "Stop all automation?" : "Release the kill switch?";
  $("ask-text").textContent = on
    ? "Every change of every automation is refused from now on. Nothing is undone."
    : "Automations may act again, in the mode that is set.";
  $("ask-do").textContent = on ? "Stop all automation" : "Release";
  $("ask-do").className = on ? "danger" : "";
  $("reason").value = "";
  $("ask").returnValue = "";
  $("ask").dataset.on = on;
  $("ask").showModal();
});

$("ask").addEventListener("close", async () => {
  if ($("ask").returnValue !== "do") return;
  const body = JSON.stringify({ on: $("ask").dataset.on === "true", reason: $("reason").value });
  try {
    const answer = await fetch("/api/v1/kill-switch", { method: "POST", body, headers: { "X-Lab-Page": "1" } });
    const told = await answer.json();
    if (answer.ok) drawControl(told.control);
    else notice(told.error);
  } catch (error) {
    notice(`The kill switch was not set: ${error.message}. lab kill-switch on does it too.`);
  }
});

const events = new EventSource("/api/v1/events");
events.onmessage = (event) => draw(JSON.parse(event.data));
events.onerror = () => {
  notice("The lab does not answer; trying again.");
  drawControl(null);
};

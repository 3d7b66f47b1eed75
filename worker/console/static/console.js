"use strict";
// Two things that a page cannot do by itself: copy a reply, and show instants in the reader's own zone.

const said = document.createElement("p");
said.className = "hidden";
said.setAttribute("role", "status");
document.body.append(said);

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

for (const button of document.querySelectorAll("button.copy")) {
  const source = document.getElementById(button.dataset.copies);
  const words = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(source.textContent.trim());
      button.textContent = "Copied";
      said.textContent = "Copied";
    } catch {
      button.textContent = "Not copied: select the text";
    }
    setTimeout(() => {
      button.textContent = words;
      said.textContent = "";
    }, 2000);
  });
}

// A page has its instants in UTC. Whole days (no T in their datetime) and sentences keep the ledger's days, in UTC.
// The names of zones are in English, as the page is: a reader in Berlin sees CET in British English, else GMT+1.
const own = new Intl.DateTimeFormat(navigator.languages.find((one) => one.startsWith("en")) ?? "en", {
  calendar: "gregory", numberingSystem: "latn", hourCycle: "h23", timeZoneName: "short",
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

function inOwnZone(at, toTheSecond) {
  const part = Object.fromEntries(own.formatToParts(at).map(({ type, value }) => [type, value.padStart(2, "0")]));
  const seconds = toTheSecond ? `:${part.second}` : "";
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}${seconds} ${part.timeZoneName}`;
}

for (const time of document.querySelectorAll("time[datetime*='T']")) {
  const at = new Date(time.dateTime);
  const utc = time.textContent;
  const shown = Number.isNaN(at.getTime()) ? utc : inOwnZone(at, /:\d\d:/.test(utc));
  if (shown !== utc) {
    time.textContent = shown;
    time.title = utc;
  }
}

if (!inOwnZone(new Date()).endsWith(" UTC")) {
  const named = new Intl.DateTimeFormat("en", { timeZoneName: "longGeneric" }).formatToParts(new Date());
  document.getElementById("own-zone").textContent = named.find(({ type }) => type === "timeZoneName").value;
  document.getElementById("times-in-utc").hidden = true;
  document.getElementById("times-in-own-zone").hidden = false;
}

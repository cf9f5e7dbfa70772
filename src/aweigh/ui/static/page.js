// What Streamlit's elements cannot do by themselves: copy without a rerun, say a new answer aloud, name the current page,
// and say in plain words that the connection is lost.
// Everything is found by attributes that the pages write; nothing here knows the model.

const COPIED_MS = 2000

const live = document.createElement("div")
live.className = "aw-hidden"
live.setAttribute("role", "status")
document.body.append(live)

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text)
    return
  }
  // Plain HTTP on another host than localhost: the old way still works there.
  const area = document.createElement("textarea")
  area.value = text
  area.className = "aw-hidden"
  document.body.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  if (!done) throw new Error("copying was refused")
}

function textOf(button) {
  const query = button.dataset.copyLink
  if (query !== undefined) return new URL(query, location.origin + location.pathname).href
  return button.dataset.copyText.replace("{origin}", location.origin)
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button.aw-copy")
  if (!button || button.dataset.said) return
  button.dataset.said = button.textContent
  try {
    await copy(textOf(button))
    button.textContent = "Copied"
  } catch {
    button.textContent = "The browser refused"
  }
  live.textContent = button.textContent
  setTimeout(() => {
    button.textContent = button.dataset.said
    delete button.dataset.said
  }, COPIED_MS)
})

const LOST_MS = 1200
const lost = document.createElement("div")
lost.className = "aw-lost"
lost.setAttribute("role", "alert")
lost.hidden = true
document.body.append(lost)
let losing = null

function watchConnection() {
  const state = document.querySelector(".stApp")?.dataset.testConnectionState
  if (state === undefined || state === "CONNECTED") {
    clearTimeout(losing)
    losing = null
    lost.hidden = true
    document.body.classList.remove("aw-offline")
  } else if (losing === null && wasConnected) {
    losing = setTimeout(() => {
      lost.textContent = "The connection is lost. Your inputs are kept; this page goes on by itself as soon as it is back."
      lost.hidden = false
      document.body.classList.add("aw-offline")
      leaveIfSignedOut()
    }, LOST_MS)
  }
  wasConnected ||= state === "CONNECTED"
}
let wasConnected = false

// A session that has ended has closed the page's connection: then the way back leads through signing in.
async function leaveIfSignedOut() {
  if (!document.querySelector(".aw-who")) return
  const me = await fetch("./v1/me").catch(() => null)
  if (me?.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + row)}`)
}

// After a restart of the server the session is another one and knows nothing: the row's address brings the inputs back.
// Once is enough: to set out anew at each look would break off the way that is under way.
let session = null
let row = ""
let leaving = false
let visitor = null
function watchSession() {
  const who = document.querySelector(".aw-who")?.textContent
  if (who !== undefined && visitor !== null && who !== visitor && !leaving) {
    leaving = true // another person has signed in: nothing that the one before has typed stays
    location.replace(location.pathname)
  }
  visitor = who ?? visitor
  const kept = document.querySelector("[data-session]")?.dataset
  if (kept === undefined || leaving) return
  if (session !== null && kept.session !== session && row !== "" && kept.row !== row) {
    leaving = true
    location.replace(location.pathname + row)
    return
  }
  session = kept.session
  row = kept.row
}

let announced = null
function look() {
  watchConnection()
  watchSession()
  const answer = document.querySelector("[data-announce]")
  // While it is drawn anew the answer is gone for a moment: what counts is the last one that was there.
  const text = answer?.dataset.announce
  if (text !== undefined && text !== announced) {
    if (announced !== null) live.textContent = text
    announced = text
  }
  const nav = document.querySelector('[class*="st-key-nav-"]')
  if (!nav) return
  const current = Number(/st-key-nav-(\d)/.exec(nav.className)[1])
  nav.querySelectorAll("a").forEach((link, i) => {
    if (i === current) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  })
}

let waiting = false
new MutationObserver(() => {
  if (waiting) return
  waiting = true
  requestAnimationFrame(() => {
    waiting = false
    look()
  })
}).observe(document.body, {
  subtree: true,
  childList: true,
  attributes: true,
  attributeFilter: ["data-announce", "data-session", "data-row", "class", "data-test-connection-state"],
})

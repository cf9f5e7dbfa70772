// Two comforts; the pages work without them. Buttons for them are hidden until this runs, on ground that is kept free.
const COPIED_MS = 2000
for (const button of document.querySelectorAll("button.show")) {
  const input = document.getElementById(button.getAttribute("aria-controls"))
  const set = (shown) => {
    input.type = shown ? "text" : "password"
    button.textContent = shown ? "Hide" : "Show"
    button.setAttribute("aria-pressed", shown)
  }
  button.addEventListener("click", () => set(input.type === "password"))
  // A password that is sent in clear type would be kept among the words that the browser offers.
  input.form.addEventListener("submit", () => set(false))
  button.hidden = false
}
for (const button of document.querySelectorAll("button.copy")) {
  const value = document.getElementById(button.getAttribute("aria-controls"))
  const told = button.parentElement.parentElement.querySelector("[role=status]")
  const name = button.textContent
  button.addEventListener("click", async () => {
    let done = true
    try {
      if (!navigator.clipboard || !window.isSecureContext) throw new Error("plain HTTP on another host")
      await navigator.clipboard.writeText(value.innerText)
    } catch {
      getSelection().selectAllChildren(value)
      done = document.execCommand("copy")
    }
    button.textContent = done ? "Copied" : "Select and copy"
    told.textContent = done ? "Copied" : "Copying was refused. It is selected: copy it by hand."
    setTimeout(() => { button.textContent = name; told.textContent = "" }, COPIED_MS)
  })
  button.hidden = false
}

// Before Streamlit's own scripts: where its server is, which it would otherwise find out by asking below every page's path.
window.prerenderReady = false
window.__streamlit = { BACKEND_BASE_URL: location.origin, MAIN_PAGE_BASE_URL: location.origin }

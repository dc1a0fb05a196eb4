//! The catalog's page: what is in the file, and how it is in a browser.
//!
//! Debian's Chromium opens the file itself, without a network, driven by `browser.py` with
//! Playwright. Pictures of what it shows lie in `target/page`.

mod browser;
mod catalogs;
mod render;

//! The catalog as a web page: one file, for people with a browser and nothing else.
//!
//! The page asks no server for anything: style, script and data stand in it, and its policy lets
//! nothing else in. What it tells is HTML when it arrives, so that it can be read without the script,
//! which adds search, copying, lists of packages and what to paste into a template.
//!
//! | part | subject |
//! |---|---|
//! | [`data`] | what the page is made from |
//! | `view`, `changes`, `words` | the same in the order and in the words that people read |
//! | `embedded` | what the script works with |
//! | `page.html.tera`, `page.css`, `page.js` | the page |

mod changes;
pub mod data;
mod embedded;
mod view;
mod words;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use tera::{Context, Tera};

pub use data::PageData;

/// The name of the template; what ends in `.html` is escaped.
const NAME: &str = "page.html";
const TEMPLATE: &str = include_str!("page.html.tera");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page; the same bytes for the same data.
pub fn render(data: &PageData) -> String {
    let mut tera = Tera::new();
    tera.autoescape_on(vec![".html"]);
    tera.add_raw_template(NAME, TEMPLATE)
        .expect("the template is well-formed");
    let mut context = Context::new();
    context.insert("page", &view::View::new(data));
    context.insert("policy", &policy());
    context.insert("style", STYLE);
    context.insert("script", SCRIPT);
    context.insert("data", &embedded::json(data));
    tera.render(NAME, &context)
        .expect("the template names what the view has")
}

/// What the browser may do: run this script, apply this style, and show the icon that stands in the
/// page; it may fetch nothing. <https://www.w3.org/TR/CSP3/>
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

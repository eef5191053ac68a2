//! The report for browsers: [`html`] makes one file of it that needs no other, with tables that sort and filter, plots that name what the
//! pointer is on, and pictures inside.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frostline_results::StoreError;
use frostline_text::escaped;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The page of a report in Markdown. Pictures are read from the report's folder and put into the page.
///
/// # Errors
/// A picture that cannot be read.
pub(crate) fn page(folder: &Path, title: &str, markdown: &str) -> Result<String, StoreError> {
    let mut events = Vec::new();
    let mut picture: Option<(String, String)> = None; // its address, and its caption so far
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    for event in parser {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => {
                picture = Some((dest_url.to_string(), String::new()))
            }
            Event::End(TagEnd::Image) => {
                if let Some((address, caption)) = picture.take() {
                    events.push(Event::Html(CowStr::from(figure(folder, &address, &caption)?)));
                }
            }
            Event::Text(text) | Event::Code(text) if picture.is_some() => {
                if let Some((_, caption)) = &mut picture {
                    *caption += &text;
                }
            }
            // Names that users chose may look like tags; of those in the text, the report's own alone are some.
            Event::Html(text) | Event::InlineHtml(text) => {
                events.push(if is_ours(&text) { Event::Html(text) } else { Event::Text(text) })
            }
            other => events.push(other),
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n<script>\n{SCRIPT}\
         </script>\n</body>\n</html>\n",
        escaped(title)
    ))
}

fn is_ours(text: &str) -> bool {
    let text = text.trim();
    let summary = text.strip_prefix("<summary>").and_then(|rest| rest.strip_suffix("</summary>"));
    ["<details>", "</details>"].contains(&text) || summary.is_some_and(|words| !words.contains('<'))
}

/// A picture of the report's folder with its caption.
fn figure(folder: &Path, address: &str, caption: &str) -> Result<String, StoreError> {
    let path = folder.join(address);
    let bytes = fs::read(&path).map_err(|error| StoreError::reading(&path, error))?;
    let inside = if address.ends_with(".svg") {
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        let kind = if address.ends_with(".png") { "png" } else { "jpeg" };
        let data = STANDARD.encode(bytes);
        format!("<img alt=\"{}\" src=\"data:image/{kind};base64,{data}\">", escaped(caption))
    };
    Ok(format!("<figure>\n{inside}\n<figcaption>{}</figcaption>\n</figure>\n", escaped(caption)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_tags_and_nothing_is_fetched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.svg"), "<svg width=\"1\" height=\"1\"></svg>").unwrap();
        fs::write(dir.path().join("b.png"), [1, 2, 3]).unwrap();
        let markdown = "# <script>alert(1)</script> a\n\nx <img src=x onerror=y> b\n\n<details>\n<summary>More</summary>\n\n| a | b |\n| - | -: |\n| <b>c</b> | 1 |\n\n</details>\n\n![A plot](a.svg)\n\n![Pictures](b.png)\n";
        let page = page(dir.path(), "a < b", markdown).unwrap();
        let body = &page[page.find("<main>").unwrap()..page.find("</main>").unwrap()];
        assert!(!body.contains("<script") && !body.contains("<img src=x") && !body.contains("<b>"), "{body}");
        assert!(body.contains("<details>") && body.contains("<summary>More</summary>"), "{body}");
        assert!(body.contains("<svg width") && body.contains("data:image/png;base64,AQID"), "{body}");
        assert!(page.contains("<title>a &lt; b</title>"));
        assert!(!page.contains("http://") && !page.contains("https://"), "it names a place in the network");
    }
}

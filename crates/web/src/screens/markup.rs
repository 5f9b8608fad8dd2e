//! HTML that needs no more escaping.

use std::fmt;

use askama::{FastWritable, Values, filters::HtmlSafe};
use koshin_types::{SerialNumber, SubjectId};
use ring::digest::{SHA256, digest};

/// A piece of HTML, safe to be put into a page as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Markup(String);

impl Markup {
    /// Takes HTML of our own making. Somebody else's words must be escaped before.
    pub(crate) const fn trusted(html: String) -> Self {
        Self(html)
    }

    /// The words without the tags and without the escapes.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        let mut inside_tag = false;
        for c in self.0.chars() {
            match c {
                '<' => inside_tag = true,
                '>' => inside_tag = false,
                c if !inside_tag => text.push(c),
                _ => {}
            }
        }
        let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        pairs.into_iter().fold(text, |text, (escaped, plain)| text.replace(escaped, plain))
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FastWritable for Markup {
    fn write_into(&self, dest: &mut dyn fmt::Write, _: &dyn Values) -> askama::Result<()> {
        Ok(dest.write_str(&self.0)?)
    }
}

impl HtmlSafe for Markup {}

/// Appends one character, escaped for text and for quoted attributes.
pub(crate) fn escape_into(html: &mut String, c: char) {
    match c {
        '&' => html.push_str("&amp;"),
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '"' => html.push_str("&quot;"),
        '\'' => html.push_str("&#39;"),
        other => html.push(other),
    }
}

/// A serial number in groups of four digits. The gaps are drawn by the style sheet, so that copied text has none.
pub(crate) fn serial(serial: &SerialNumber) -> Markup {
    let digits = serial.to_string();
    let odd = digits.len() % 4;
    let (head, tail) = digits.split_at(odd);
    let mut html = String::from("<span class=\"serial\">");
    let mut group = |text: &str| {
        if !text.is_empty() {
            html.push_str("<span>");
            html.push_str(text);
            html.push_str("</span>");
        }
    };
    group(head);
    let mut rest = tail;
    while !rest.is_empty() {
        let (four, after) = rest.split_at(4.min(rest.len()));
        group(four);
        rest = after;
    }
    html.push_str("</span>");
    Markup(html)
}

/// The last eight digits of a serial number: enough to tell two certificates apart, too little to be quoted by others.
pub(crate) fn masked_serial(serial: &SerialNumber) -> Markup {
    let digits = serial.to_string();
    let start = digits.len().saturating_sub(8);
    let tail = digits.get(start..).unwrap_or_default();
    let mark = if start > 0 { "…" } else { "" };
    Markup(format!("<span class=\"serial\">{mark}{tail}</span>"))
}

/// Beginning and end of an ID around stars, as in mails: recognised by its holder, of little use to others.
pub(crate) fn masked_id(id: &SubjectId) -> String {
    let (id, length) = (id.as_str(), id.as_str().len());
    let (head, tail) = match length {
        0..2 => (0, length),
        2..6 => (1, length),
        _ => (2, length - 2),
    };
    format!("{}***{}", id.get(..head).unwrap_or_default(), id.get(tail..).unwrap_or_default())
}

/// A word for an ID, the same on every page: 64 bits of its SHA-256. It tells one holder's keys in a browser from
/// another's without spelling the ID out on a page before the login; it hides nothing from somebody who guesses.
pub(crate) fn owner(id: &SubjectId) -> String {
    let digest = digest(&SHA256, id.as_str().as_bytes());
    digest.as_ref().iter().take(8).fold(String::new(), |word, octet| format!("{word}{octet:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_the_same_word_everywhere_and_another_one_for_others() {
        let owner = |id: &str| owner(&id.parse().unwrap());
        assert_eq!(owner("U-1001"), owner("U-1001"));
        assert_ne!(owner("U-1001"), owner("U-1002"));
        assert_eq!((owner("U-1001").len(), owner("U-1001").contains("1001")), (16, false));
    }

    #[test]
    fn serials_are_grouped_from_the_right() {
        let number: SerialNumber = "1AFF02".parse().unwrap();
        let grouped = "<span class=\"serial\"><span>1A</span><span>FF02</span></span>";
        assert_eq!(serial(&number).to_string(), grouped);
        assert_eq!(masked_serial(&number).to_string(), "<span class=\"serial\">1AFF02</span>");
        let long: SerialNumber = "0102030405060708".parse().unwrap();
        assert_eq!(masked_serial(&long).to_string(), "<span class=\"serial\">…05060708</span>");
    }

    #[test]
    fn text_is_what_was_written() {
        let mut html = String::from("<time datetime=\"x\">");
        "a<b>&amp;'\"".chars().for_each(|c| escape_into(&mut html, c));
        html.push_str("</time>");
        assert_eq!(Markup(html).to_text(), "a<b>&amp;'\"");
    }

    #[test]
    fn masks() {
        let masked = |id: &str| masked_id(&id.parse().unwrap());
        assert_eq!(masked("U-1001"), "U-***01");
        assert_eq!(masked("A1"), "A***");
        assert_eq!(masked("A"), "***");
    }
}

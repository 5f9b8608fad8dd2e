//! The files that pages load: the style sheet, the scripts, the icon. All of them are part of the binary.
//!
//! A page names an asset with a version in the query, made of its contents: such a URL may be kept for ever. Without
//! the version, as one script imports another, a browser has to ask each time and mostly learns that nothing changed.
//!
//! ```
//! use koshin_web::assets;
//! let style = assets::find("koshin.css").ok_or("no style sheet")?;
//! assert_eq!(style.content_type, "text/css; charset=utf-8");
//! assert_eq!(style.cache_control(Some(style.version())), "public, max-age=31536000, immutable");
//! assert_eq!(style.cache_control(None), "no-cache");
//! assert!(style.matches(style.etag()));
//! # Ok::<(), &str>(())
//! ```

use std::{fmt::Write as _, sync::LazyLock};

use ring::digest::{SHA256, digest};

/// One file that pages load.
#[derive(Debug)]
pub struct Asset {
    /// The file's name, also the last part of its URL's path.
    pub name: &'static str,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The contents.
    pub bytes: &'static [u8],
    etag: String,
}

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let mut etag = String::from("\"");
        for octet in digest(&SHA256, bytes).as_ref().iter().take(16) {
            // Writing to a String cannot fail.
            _ = write!(etag, "{octet:02x}");
        }
        etag.push('"');
        Self { name, content_type, bytes, etag }
    }

    /// The strong entity tag, quotes included (RFC 9110, 8.8.3): 128 bits of the contents' SHA-256.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The version that a page puts into the query: the entity tag without its quotes.
    pub fn version(&self) -> &str {
        self.etag.trim_matches('"')
    }

    /// The path and query that a page uses: `/assets/NAME?v=VERSION`.
    pub fn url(&self) -> String {
        format!("/assets/{}?v={}", self.name, self.version())
    }

    /// The value of `Cache-Control` for a request with this `v` in its query, if any.
    pub fn cache_control(&self, version: Option<&str>) -> &'static str {
        if version == Some(self.version()) { "public, max-age=31536000, immutable" } else { "no-cache" }
    }

    /// Whether an `If-None-Match` names these contents, so that 304 is the answer (RFC 9110, 13.1.2).
    pub fn matches(&self, if_none_match: &str) -> bool {
        if_none_match.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag)
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: LazyLock<[Asset; 13]> = LazyLock::new(|| {
    [
        Asset::new("koshin.css", "text/css; charset=utf-8", include_bytes!("../assets/koshin.css")),
        Asset::new("koshin.svg", "image/svg+xml", include_bytes!("../assets/koshin.svg")),
        Asset::new("preparing.mjs", SCRIPT, include_bytes!("../assets/preparing.mjs")),
        Asset::new("renew.mjs", SCRIPT, include_bytes!("../assets/renew.mjs")),
        Asset::new("complete.mjs", SCRIPT, include_bytes!("../assets/complete.mjs")),
        Asset::new("agent.mjs", SCRIPT, include_bytes!("../assets/agent.mjs")),
        Asset::new("activate.mjs", SCRIPT, include_bytes!("../assets/activate.mjs")),
        Asset::new("forget.mjs", SCRIPT, include_bytes!("../assets/forget.mjs")),
        Asset::new("page.mjs", SCRIPT, include_bytes!("../assets/page.mjs")),
        Asset::new("key.mjs", SCRIPT, include_bytes!("../assets/key.mjs")),
        Asset::new("key-error.mjs", SCRIPT, include_bytes!("../assets/key-error.mjs")),
        Asset::new("key-store.mjs", SCRIPT, include_bytes!("../assets/key-store.mjs")),
        Asset::new("der.mjs", SCRIPT, include_bytes!("../assets/der.mjs")),
    ]
});

/// The asset of this name, which is the part of the path behind `/assets/`.
pub fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// Every asset.
pub fn all() -> &'static [Asset] {
    ASSETS.as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_of_a_script_is_an_asset() {
        for asset in all().iter().filter(|asset| asset.content_type == SCRIPT) {
            let source = std::str::from_utf8(asset.bytes).unwrap();
            for line in source.lines().filter(|line| line.contains(" from \"")) {
                let name = line.split(" from \"./").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
                assert!(find(name).is_some(), "{} imports {name}", asset.name);
            }
        }
    }

    #[test]
    fn tags_differ_and_are_compared_as_the_rfc_says() {
        let css = find("koshin.css").unwrap();
        let svg = find("koshin.svg").unwrap();
        assert_ne!(css.etag(), svg.etag());
        assert_eq!(css.etag().len(), 34);
        assert!(css.matches(&format!("\"other\", W/{}", css.etag())));
        assert!(css.matches("*"));
        assert!(!css.matches(svg.etag()));
        assert!(!css.matches(css.version()));
        assert_eq!(css.cache_control(Some(svg.version())), "no-cache");
        assert!(find("../Cargo.toml").is_none());
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in all() {
            let source = std::str::from_utf8(asset.bytes).unwrap();
            let foreign = source.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{}", asset.name);
        }
    }
}

//! The demonstration's mailbox page: what the people of the demo would find in their mail.

use std::fmt::Write as _;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use koshin_notify::Mailbox;

#[derive(Clone)]
struct Page {
    mailbox: Mailbox,
    token: String,
    /// The only names under which the page answers: nobody's DNS may point at it.
    hosts: [String; 2],
}

/// The page under `/TOKEN`: text only, newest first; JSON for programs.
pub(crate) fn router(mailbox: Mailbox, token: String, port: u16) -> Router {
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    Router::new().route("/{token}", get(page)).with_state(Page { mailbox, token, hosts })
}

async fn page(State(page): State<Page>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).unwrap_or_default();
    let host = text(header::HOST);
    if !page.hosts.iter().any(|known| known == host) || token != page.token {
        return (StatusCode::NOT_FOUND, "There is no mailbox here.\n").into_response();
    }
    let mails = page.mailbox.newest(Mailbox::CAPACITY);
    let locked = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    if text(header::ACCEPT).contains("application/json") {
        let mails: Vec<_> = mails
            .iter()
            .map(|mail| {
                serde_json::json!({
                    "to": mail.envelope.to.as_str(),
                    "message_id": mail.envelope.message_id,
                    "subject": mail.envelope.words.subject,
                    "text": mail.envelope.words.text,
                })
            })
            .collect();
        return (locked, Json(mails)).into_response();
    }
    let mut html = String::from(
        "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Mailbox – Koshin demo</title>\
         <h1>Mailbox / メールボックス</h1>\
         <p>Mails of the demo, newest first. Reload to see new ones. / 新しい順です。再読み込みすると新着が表示されます。</p>",
    );
    if mails.is_empty() {
        html.push_str("<p>No mail yet. / メールはまだありません。</p>");
    }
    for mail in &mails {
        let words = &mail.envelope.words;
        // Writing to a String cannot fail.
        _ = write!(
            html,
            "<hr><h2>{}</h2><p>To: {}</p><pre>{}</pre>",
            escaped(&words.subject),
            escaped(mail.envelope.to.as_str()),
            escaped(&words.text)
        );
    }
    (locked, Html(html)).into_response()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            _ => safe.push(c),
        }
    }
    safe
}

//! Writes every screen with sample data as a page to look at, in both languages, with an index.
//!
//! `cargo run -p koshin-web --example gallery -- DIRECTORY`, then open `DIRECTORY/index.html`. Styles and scripts lie
//! beside the pages; buttons lead nowhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "sample data; a failure is to be seen")]

use std::{env, fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use koshin_types::Language;
use koshin_web::assets;

#[path = "../tests/it/samples.rs"]
mod samples;

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: gallery DIRECTORY");
        return ExitCode::from(2);
    };
    let world = samples::World::new();
    let mut index = String::from("<!DOCTYPE html><html lang=\"en\"><title>Koshin: all screens</title><ul>\n");
    for language in Language::ALL {
        let folder = directory.join(language.as_str());
        fs::create_dir_all(folder.join("assets")).unwrap();
        for asset in assets::all() {
            fs::write(folder.join("assets").join(asset.name), asset.bytes).unwrap();
        }
        for (name, page) in world.screens(language) {
            let page = page.unwrap().replace("\"/assets/", "\"assets/");
            fs::write(folder.join(format!("{name}.html")), page).unwrap();
            writeln!(index, "<li><a href=\"{language}/{name}.html\">{language} {name}</a>").unwrap();
        }
    }
    fs::write(directory.join("index.html"), index + "</ul></html>\n").unwrap();
    println!("{}", directory.join("index.html").display());
    ExitCode::SUCCESS
}

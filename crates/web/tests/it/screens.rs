//! Every screen in both languages as a snapshot, and what holds for all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use koshin_types::Language;
use koshin_web::{
    assets,
    screens::{
        self, AgentRefusal, Bilingual, Brand, Contact, EstRefusal, Frame, Host, Hosts, Login, Problem, Seen, Texts,
    },
};

use crate::samples::World;

/// The pages of both languages, by language and name.
fn pages() -> BTreeMap<(Language, &'static str), String> {
    let world = World::new();
    let in_language = |language| world.screens(language).into_iter().map(move |(name, page)| ((language, name), page));
    Language::ALL.into_iter().flat_map(in_language).map(|(key, page)| (key, page.unwrap())).collect()
}

#[test]
fn every_screen_in_both_languages() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for ((language, name), page) in pages() {
            // The frame is the same everywhere; a change of style would otherwise touch every snapshot.
            let start = page.find("<main").unwrap();
            let end = page.find("</main>").unwrap();
            insta::assert_snapshot!(format!("{name}.{language}"), &page[start..end]);
        }
    });
}

#[test]
fn every_text_for_programs_in_both_languages() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let world = World::new();
    settings.bind(|| {
        for language in Language::ALL {
            let texts = est_refusals(&world.frame(language, Host::Portal, "/"));
            assert!(!texts.contains('<') && !texts.contains('&'), "plain text: {texts}");
            insta::assert_snapshot!(format!("est_refusals.{language}"), texts);
        }
    });
}

#[test]
fn everything_that_agents_are_told_in_both_languages() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let world = World::new();
    settings.bind(|| {
        for language in Language::ALL {
            let frame = world.frame(language, Host::Portal, "/");
            let told = agent_refusals().into_iter().map(|refusal| {
                let json = screens::agent_refusal(&frame, &refusal).unwrap();
                assert!(
                    json["code"].as_str().unwrap().starts_with("agent.")
                        && !json["message"].as_str().unwrap().is_empty()
                );
                format!("{} {json}", refusal.status())
            });
            insta::assert_snapshot!(format!("agent_refusals.{language}"), told.collect::<Vec<_>>().join("\n"));
        }
    });
}

fn agent_refusals() -> Vec<AgentRefusal> {
    let (minimum, claimed) = (koshin_types::ProtectionLevel::Hardware, koshin_types::ProtectionLevel::Os);
    vec![
        AgentRefusal::Malformed,
        AgentRefusal::Over { bearer: true },
        AgentRefusal::Over { bearer: false },
        AgentRefusal::NoCertificate,
        AgentRefusal::Certificate { status: "expired" },
        AgentRefusal::OtherCertificate,
        AgentRefusal::TicketWrong,
        AgentRefusal::TicketUsed,
        AgentRefusal::NotConfirmed,
        AgentRefusal::CodeWrong { left: 1 },
        AgentRefusal::CodeWrong { left: 2 },
        AgentRefusal::CodeExhausted,
        AgentRefusal::Protection { minimum, claimed },
        AgentRefusal::Off,
        AgentRefusal::NotFound,
        AgentRefusal::OtherKey,
        AgentRefusal::KeySeen,
        AgentRefusal::OutOfPlace { state: "started" },
        AgentRefusal::Ended { state: "abandoned" },
        AgentRefusal::Activation,
        AgentRefusal::CaAway { retry_after: 5 },
        Problem::KeyRefused.into(),
        Problem::TooLarge.into(),
        Problem::UnsupportedType.into(),
        Problem::TooMany { retry_after: 30 }.into(),
        Problem::Unavailable { retry_after: 5 }.into(),
        Problem::Internal { reference: "7f3a".into() }.into(),
    ]
}

/// Everything that programs are told, with the challenge that goes with it.
fn est_refusals(frame: &Frame<'_>) -> String {
    let refusals = [
        EstRefusal::Recorded { retry_after: 5 },
        EstRefusal::NotBase64,
        EstRefusal::OtherNames,
        EstRefusal::TicketNeeded,
        EstRefusal::TicketWrong,
        EstRefusal::PasswordNeeded,
        EstRefusal::CodeSent { minutes: 10 },
        EstRefusal::CodeWrong,
        EstRefusal::EnrolmentOver,
        EstRefusal::CertificateNeeded,
        EstRefusal::Expired,
        EstRefusal::NotInUse,
        Problem::TooEarly { opens: time::macros::utc_datetime!(2026-11-21 15:00:00) }.into(),
        Problem::KeyRefused.into(),
    ];
    let texts = refusals.iter().map(|refusal| {
        let text = screens::est_refusal(frame, refusal).unwrap();
        let challenge = refusal.realm().map(|realm| format!(", {realm}")).unwrap_or_default();
        format!("{}{challenge}\n{text}", refusal.status())
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_frame_of_a_page() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for language in Language::ALL {
            let mut page = pages()[&(language, "04_start_renewal_started")].clone();
            for asset in assets::all() {
                page = page.replace(asset.version(), "VERSION");
            }
            let (start, end) = (page.find("<main").unwrap(), page.find("</main>").unwrap());
            page.replace_range(start..end, "<main>");
            insta::assert_snapshot!(format!("frame.{language}"), page);
        }
    });
}

#[test]
fn invariant_no_page_has_inline_script_or_style_or_foreign_sources() {
    for ((language, name), page) in pages() {
        for forbidden in [" style=", "<style", " onclick", " onload", " onsubmit", "javascript:", "src=\"http", "<base"]
        {
            assert!(!page.contains(forbidden), "{language} {name} has {forbidden}");
        }
        for script in page.split("<script").skip(1) {
            assert!(script.starts_with(" type=\"module\" src=\"/assets/"), "{language} {name}");
            assert!(script.contains("\"></script>"), "{language} {name}");
        }
        for action in page.split(" action=\"").skip(1) {
            assert!(action.starts_with('/'), "{language} {name} sends a form to another host");
        }
    }
}

#[test]
fn invariant_ids_are_unique_and_what_refers_to_them_exists() {
    let values = |page: &str, attribute: &str| -> Vec<String> {
        let pattern = format!(" {attribute}=\"");
        page.split(&pattern).skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
    };
    for ((language, name), page) in pages() {
        let ids = values(&page, "id");
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{language} {name} {ids:?}");
        let mut references: Vec<String> = ["for", "aria-labelledby", "aria-describedby"]
            .into_iter()
            .flat_map(|attribute| values(&page, attribute))
            .collect();
        references.extend(values(&page, "href").iter().filter_map(|href| href.strip_prefix('#')).map(str::to_owned));
        for reference in references {
            assert!(unique.contains(&reference), "{language} {name} refers to {reference}");
        }
    }
}

#[test]
fn invariant_every_page_is_a_whole_one() {
    for ((language, name), page) in pages() {
        assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\""), "{language} {name}");
        assert!(page.contains(&format!("<html lang=\"{language}\">")), "{language} {name}");
        assert_eq!(page.matches("<h1>").count(), 1, "{language} {name}");
        for needed in
            ["<title>", "class=\"skip\" href=\"#main\"", "?lang=ja\"", "?lang=en\"", "/doctor\"", "0120-000-000"]
        {
            assert!(page.contains(needed), "{language} {name} lacks {needed}");
        }
        for markup in ["{{", "{%", "{ $", "Markup("] {
            assert!(!page.contains(markup), "{language} {name} shows {markup}");
        }
    }
}

#[test]
fn invariant_words_of_others_are_escaped_on_every_page() {
    let text = |words: &str| Bilingual { ja: words.to_owned(), en: words.to_owned() };
    let hostile = "\"><script>alert(1)</script>&'";
    let world = Texts::load().unwrap();
    let brand = Brand { operator: text(hostile), portal: text(hostile) };
    let contact = Contact { name: text(hostile), telephone: Some(hostile.to_owned()), hours: Some(text(hostile)) };
    let url = "https://h.example/\"><script>";
    let hosts = Hosts { portal: url.to_owned(), public: url.to_owned(), activate: url.to_owned() };
    let zone = screens::Clocked::jst();
    for language in Language::ALL {
        let frame = Frame {
            language,
            texts: &world,
            zone: &zone,
            hosts: &hosts,
            host: Host::Portal,
            brand: &brand,
            contact: &contact,
            path: "/\"><script>",
        };
        let login = screens::login(&frame, &Login { seen: &Seen::None, refusal: None, id: hostile }).unwrap();
        let internal = Problem::Internal { reference: hostile.to_owned() };
        let problem = screens::problem(&frame, &internal).unwrap();
        for page in [login, problem] {
            assert!(!page.contains("<script>"), "{page}");
            assert!(page.contains("script&"), "{page}");
        }
    }
}

#[test]
fn the_manuals_words_stand_where_the_manual_has_them() {
    let pages = pages();
    let japanese = |name: &'static str| &pages[&(Language::Ja, name)];
    for (name, words) in [
        ("00_login_active", "<h1>ログイン</h1>"),
        ("00_login_none", "電子証明書取得"),
        ("01_notice_calm", "<h1>電子証明書更新通知</h1>"),
        ("01_notice_calm", ">今すぐ更新する</button>"),
        ("01_notice_calm", ">後で更新する</button>"),
        ("02_main_open", "<h1>メイン</h1>"),
        ("02_main_open", "<b>証明書更新</b>"),
        ("03_preparing_renewal", "<h1>電子証明書更新前処理中</h1>"),
        ("04_start_renewal_started", "<h1>電子証明書更新開始</h1>"),
        ("04_start_renewal_started", ">更新</button>"),
        ("04_start_renewal_started", ">Web アクセスの確認</h2>"),
        ("04_start_renewal_started", ">はい</button>"),
        ("04_start_renewal_started", ">いいえ</button>"),
        ("04_start_enrolment_started", "<h1>電子証明書取得</h1>"),
        ("07_complete_file", "<h1>電子証明書発行 発行完了</h1>"),
        ("07_complete_file", "シリアル番号"),
        ("07_complete_file", "※ 電子証明書の有効期間は1年です。"),
        ("07_complete_file", ">このウィンドウを閉じる</button>"),
        ("07_complete_hardware", "電子証明書のインストールが完了しました"),
        ("08_activation_activated", "<h1>新しい電子証明書が使えます</h1>"),
        ("10_enrolment_home", "<h1>電子証明書取得</h1>"),
    ] {
        assert!(japanese(name).contains(words), "{name} lacks {words}");
    }
}

#[test]
fn only_hardware_promises_that_no_other_computer_can_log_in() {
    let pages = pages();
    for (language, promise) in [
        (Language::Ja, "インストールされたパソコン以外ではログインできません"),
        (Language::En, "Only this computer can log in"),
    ] {
        for ((page_language, name), page) in &pages {
            let expected = *page_language == language && name.starts_with("07_complete_hardware");
            assert_eq!(page.contains(promise), expected, "{page_language} {name}");
        }
    }
}

#[test]
fn the_code_form_says_nothing_about_the_id() {
    for ((language, name), page) in pages().iter().filter(|((_, name), _)| name.starts_with("10_enrolment_code")) {
        assert!(!page.contains("U-1004") && !page.contains('@'.to_string().as_str()), "{language} {name}");
    }
}

/// The keys of one language, in the order of the file, by file.
fn keys(language: &str) -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("translations").join(language);
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap();
        let is_key = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
        let keys = text.lines().filter(is_key).map(|line| line.split(" =").next().unwrap().to_owned()).collect();
        (entry.file_name().into_string().unwrap(), keys)
    };
    fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect()
}

#[test]
fn both_languages_have_the_same_keys_in_the_same_order() {
    let (ja, en) = (keys("ja"), keys("en"));
    assert!(ja.values().map(Vec::len).sum::<usize>() > 300, "the files were not found");
    assert_eq!(ja, en);
}

/// All files below a folder, as one text.
fn sources(folder: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_text_is_used() {
    let used = sources("src/screens") + &sources("templates");
    let unused: Vec<_> =
        keys("ja").into_values().flatten().filter(|key| !used.contains(&format!("\"{key}\""))).collect();
    assert_eq!(unused, [""; 0]);
}

#[test]
fn scripts_ask_only_for_words_that_their_page_has() {
    let quoted = |text: &str, before: &str| -> BTreeSet<String> {
        text.split(before).skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
    };
    for (template, script, calls) in
        [("start.html", "renew.mjs", &["word(\"", "tell(\""][..]), ("complete.html", "complete.mjs", &["word(\""])]
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let there = quoted(&fs::read_to_string(folder.join("templates").join(template)).unwrap(), "data-word=\"");
        let source = fs::read_to_string(folder.join("assets").join(script)).unwrap();
        let asked: BTreeSet<_> =
            calls.iter().flat_map(|call| quoted(&source, call)).filter(|w| !w.is_empty()).collect();
        assert!(!asked.is_empty());
        assert!(asked.is_subset(&there), "{script}: {asked:?} of {there:?}");
        let shared = ["offline", "storage", "unsupported", "unexpected", "code"].map(str::to_owned);
        assert!(shared.iter().all(|word| there.contains(word)), "{template}: {there:?}");
    }
}

#[test]
fn scripts_find_the_elements_they_need() {
    let pages = pages();
    for (page, script) in [
        ("04_start_renewal_started", "renew.mjs"),
        ("07_complete_file", "complete.mjs"),
        ("08_activation_pending", "activate.mjs"),
    ] {
        let asset = assets::find(script).unwrap();
        let source = std::str::from_utf8(asset.bytes).unwrap();
        for call in ["element(\"", "getElementById(\""] {
            for id in source.split(call).skip(1).map(|rest| &rest[..rest.find('"').unwrap()]) {
                let html = &pages[&(Language::Ja, page)];
                assert!(html.contains(&format!(" id=\"{id}\"")), "{script} needs #{id}");
                assert!(html.contains(&asset.url()), "{page} loads {script}");
            }
        }
    }
}

#[test]
fn problems_speak_as_plain_text_too() {
    let world = Texts::load().unwrap();
    let text = |words: &str| Bilingual { ja: words.to_owned(), en: words.to_owned() };
    let brand = Brand { operator: text("o"), portal: text("p") };
    let contact = Contact { name: text("c"), telephone: None, hours: None };
    let hosts = Hosts { portal: String::new(), public: String::new(), activate: String::new() };
    let zone = screens::Clocked::jst();
    let frame = Frame {
        language: Language::En,
        texts: &world,
        zone: &zone,
        hosts: &hosts,
        host: Host::Portal,
        brand: &brand,
        contact: &contact,
        path: "/",
    };
    let early = Problem::TooEarly { opens: time::macros::utc_datetime!(2026-11-21 15:00:00) };
    let words = screens::problem_words(&frame, &early).unwrap();
    assert_eq!(words.title(), "It is too early to renew");
    assert!(
        words.detail().starts_with("The certificate can be renewed from Sun 22 Nov 2026. Log in"),
        "{}",
        words.detail()
    );
    let many = screens::problem_words(&frame, &Problem::TooMany { retry_after: 91 }).unwrap();
    assert!(many.detail().ends_with("Please wait 2 minutes and try again."), "{}", many.detail());
    assert_eq!((early.status(), early.code(), early.retry_after()), (403, "renewal.too_early", None));
}

#[test]
fn where_nothing_can_be_filled_in_there_is_no_form() {
    let pages = pages();
    for language in Language::ALL {
        for (name, forms) in [
            ("00_login_active", true),
            ("00_login_pending", true),
            ("00_login_none", false),
            ("00_login_refused_certificate", false),
            ("00_login_expired", false),
            ("10_enrolment_code_wrong", true),
            ("10_enrolment_code_too_many", true),
            ("10_enrolment_code_spent", false),
            ("10_enrolment_code_expired", false),
        ] {
            let page = &pages[&(language, name)];
            assert_eq!(page.contains("<input"), forms, "{language} {name}");
            assert_eq!(page.matches("class=\"button\"").count(), 1, "{language} {name} has one next step");
        }
    }
}

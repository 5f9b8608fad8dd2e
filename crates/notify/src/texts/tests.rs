use std::fs;

use super::*;

#[test]
fn builtin_texts_pass_their_own_check_in_both_languages() {
    for language in Language::ALL {
        for key in Key::ALL {
            assert_eq!(Texts::complaints(language, *key), [], "{language}/{}", key.file());
        }
    }
}

#[test]
fn both_languages_use_the_same_variables() {
    let texts = Texts::builtin();
    for key in Key::ALL.iter().filter(|key| !key.is_list()) {
        let used = |language, part| {
            let template = texts.templates.get_template(&name(language, *key, part)).unwrap();
            let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
            names.sort();
            names
        };
        for part in [Part::Subject, Part::Body] {
            assert_eq!(used(Language::Ja, part), used(Language::En, part), "{}", key.file());
        }
    }
}

#[test]
fn every_file_of_the_folder_is_in_the_catalogue() {
    for language in Language::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("texts").join(language.as_str());
        let mut found: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut known: Vec<_> = Key::ALL.iter().map(|key| key.file().to_owned()).collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}

/// Every text that a mail can be made of has an example, of the same name.
#[test]
fn every_text_has_an_example() {
    let mut examples: Vec<_> = crate::sample_names().map(|name| format!("{name}.txt")).collect();
    let of_mails = Key::ALL.iter().filter(|key| !key.is_list() && **key != Key::Frame);
    let mut texts: Vec<_> = of_mails.map(|key| key.file().to_owned()).collect();
    examples.sort();
    texts.sort();
    assert_eq!(examples, texts);
}

fn complaints(name: &str, text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("ja")).unwrap();
    fs::write(folder.path().join("ja").join(name), text).unwrap();
    let found = lint(folder.path());
    assert_eq!(Texts::load(folder.path()).err(), (!found.is_empty()).then(|| Complaints(found.clone())));
    let prefix = folder.path().join("ja").join("").display().to_string();
    found.iter().map(|complaint| complaint.to_string().replace(&prefix, "")).collect()
}

#[test]
fn an_operator_s_mistakes_are_named_with_their_lines() {
    let unknown = "revoked.txt:4: nam has no value here; known are id, serial, brand, portal, reason";
    assert_eq!(complaints("revoked.txt", "Subject: a\n\n{{ id }} {{ serial }}\n{{ nam }}"), [unknown]);
    assert_eq!(complaints("revoked.txt", "Subject: a\n\n{{ id }}"), ["revoked.txt: {{ serial }} is missing"]);
    let no_subject = "revoked.txt:1: no line `Subject: …`, an empty line, and then the text";
    assert_eq!(complaints("revoked.txt", "a\n\n{{ id }}"), [no_subject]);
    assert_eq!(complaints("revoked.txt", "Subject: \n\n{{ id }}"), [no_subject]);
    assert_eq!(
        complaints("revoked.txt", "Subject: a\r\nBcc: b\r\n\r\n{{ id }} {{ serial }}"),
        ["revoked.txt:2: an empty line has to follow the subject: no other field can be set"]
    );
    let bell = "revoked.txt:3: a character that is not allowed: U+0007";
    assert_eq!(complaints("revoked.txt", "Subject: a\n\n{{ id }} {{ serial }}\u{7}"), [bell]);
    for link in ["https://bank.example/login", "WWW.bank.example"] {
        let text = format!("Subject: a\n\n{{{{ id }}}}\n{{{{ not_after }}}} {link}");
        assert_eq!(complaints("expiry.txt", &text), ["expiry.txt:4: a link: name the menu instead"]);
    }
    let wide = format!("Subject: a\n\n{{{{ id }}}} {{{{ serial }}}}\n{}", "あ".repeat(40));
    assert_eq!(complaints("revoked.txt", &wide), ["revoked.txt:4: 80 columns, at most 78 are allowed"]);
    let code = complaints("enrolment-code.txt", "Subject: {{ code }}\n\n{{ id }} {{ code }} {{ expires }}");
    assert!(code.len() == 1 && code[0].contains(":1: the code does not belong into the subject"), "{code:?}");
    assert!(
        complaints("reasons.txt", "unspecified = x").contains(&"reasons.txt: no line for keyCompromise".to_owned())
    );
    assert_eq!(complaints("expire.txt", ""), ["expire.txt: there is no text of this name"]);
    let two = complaints("revoked.txt", "Subject: a\n\nhttp://x\n{{ id }} {{ y }}");
    assert_eq!(two.len(), 3, "everything at once: {two:?}");
}

#[test]
fn a_template_that_cannot_be_read_or_filled_is_refused() {
    for (text, line) in [
        ("{{ id }} {{ serial }}\n{{ id", ":4:"),
        ("{{ id }} {{ serial }} {% if id %}", ":3:"),
        ("{{ id }} {{ serial }}\n{{ id|upper }}", ""),
        ("{{ id }} {{ serial }}\n{{ range(5) }}", ":4:"),
        ("{{ id }} {{ serial }}\n{{ id + 1 }}", ""),
        ("{{ id }} {{ serial }}\n{{ id.name }}", ""),
        ("{{ id }} {{ serial }}\n{% include 'x' %}", ":4:"),
        ("{% if false %}{{ id }}{% endif %} {{ serial }}", ": {{ id }} is missing"),
    ] {
        let found = complaints("revoked.txt", &format!("Subject: a\n\n{text}"));
        assert!(!found.is_empty() && found[0].contains(line), "{text}: {found:?}");
    }
    let subject = complaints("revoked.txt", "Subject: {% if false %}a{% endif %}\n\n{{ id }} {{ serial }}");
    assert!(subject[0].contains("the subject is not one line"), "{subject:?}");
    assert_eq!(
        complaints("expiry.txt", "Subject: a\n\n{{ id }} {{ not_after }}{% if days_left == '1' %}!{% endif %}"),
        [""; 0]
    );
}

#[test]
fn an_operator_s_text_replaces_ours() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("en")).unwrap();
    fs::write(folder.path().join("en/revoked.txt"), "Subject: Gone\n\n{{ id }} {{ serial }}").unwrap();
    let texts = Texts::load(folder.path()).unwrap();
    let values =
        Values::from([("id", "{{ serial }}".to_owned()), ("serial", "{{ id }}".to_owned()), ("brand", "B".into())]);
    assert_eq!(texts.fill(Language::En, Key::Revoked, Part::Subject, &values), "Gone");
    // A value is never read as a template, nor written otherwise than it is.
    assert_eq!(texts.fill(Language::En, Key::Revoked, Part::Body, &values), "{{ serial }} {{ id }}");
    assert!(texts.fill(Language::Ja, Key::Revoked, Part::Subject, &values).contains("失効"));
    let markup = Values::from([("id", "<a> & \"b\"".to_owned()), ("serial", String::new())]);
    assert_eq!(texts.fill(Language::En, Key::Revoked, Part::Body, &markup), "<a> & \"b\" ");
}

#[test]
fn a_folder_that_is_not_there_is_no_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(lint(folder.path()), []);
    let missing = folder.path().join("texts");
    let found = lint(&missing);
    assert!(
        found.len() == 1 && found[0].to_string().ends_with("texts: it cannot be read: entity not found"),
        "{found:?}"
    );
    fs::create_dir(folder.path().join("jp")).unwrap();
    let found = lint(folder.path());
    assert!(found.len() == 1 && found[0].to_string().ends_with("jp: there is no text of this name"), "{found:?}");
}

/// A text that passes its check and fails with other values does not make an empty mail.
#[test]
fn a_text_that_fails_on_the_day_is_replaced_by_ours() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("en")).unwrap();
    let text = "Subject: Own\n\n{{ id }} {{ not_after }}{% if days_left == '7' %}{{ id.x }}{% endif %}";
    fs::write(folder.path().join("en/expiry.txt"), text).unwrap();
    let texts = Texts::load(folder.path()).unwrap();
    let body = |days: &str| {
        let names = ["brand", "id", "not_after", "end_date"].map(|name| (name, name.to_owned()));
        let values: Values = names.into_iter().chain([("days_left", days.to_owned())]).collect();
        texts.fill(Language::En, Key::Expiry, Part::Body, &values)
    };
    assert_eq!(body("8"), "id not_after");
    assert!(body("7").starts_with("Your certificate will expire soon."), "{}", body("7"));
}

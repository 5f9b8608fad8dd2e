//! `koshin policy` on arbitrary lines. The command is a program, so these are its own files, compiled here without the
//! rest of it: what a line asks is answered by no other code.

#[path = "../../bins/koshin/src/commands/policy/eval.rs"]
mod eval;
#[allow(dead_code, reason = "only the command reads standard input")]
#[path = "../../bins/koshin/src/commands/policy/lines.rs"]
mod lines;
#[allow(dead_code, reason = "only the command has a help text")]
#[path = "../../bins/koshin/src/commands/policy/replay.rs"]
mod replay;
#[path = "../../bins/koshin/src/commands/policy/tables.rs"]
mod tables;
#[path = "../../bins/koshin/src/commands/policy/validity.rs"]
mod validity_of_issue;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};

use self::lines::{Answer, WrongLine, map_between};

/// Any octets are refused with a line's number in a text of bounded length, or every line is answered by one object
/// that gives the line's id back.
pub fn policy_lines(data: &[u8]) {
    answered(&mut eval::Evaluator::default(), data);
    answered(&mut validity_of_issue::Calculator::default(), data);
}

/// The same for scripts of events, which the real planner and mailer go through.
pub fn policy_replay(data: &[u8]) {
    RUNTIME.block_on(async { answered(&mut replay::Rehearsal::new().expect("its words are fixed"), data) });
}

/// The command's own kind of runtime: the mailer waits within it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime"));

fn answered<A: Answer>(answers: &mut A, data: &[u8]) {
    let mut output = Vec::new();
    let result = map_between(answers, data, &mut output);
    let given: Vec<&[u8]> = data.split(|octet| *octet == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let answers: Vec<&[u8]> = output.split_inclusive(|octet| *octet == b'\n').collect();
    match result {
        Ok(()) => assert_eq!(answers.len(), given.len()),
        Err(error) => {
            assert!(error.is::<WrongLine>(), "{error:#}");
            assert!(error.to_string().starts_with("line ") && error.to_string().chars().count() < 400, "{error}");
            assert!(answers.len() < given.len(), "every line was answered, and yet: {error}");
        }
    }
    for (line, answer) in given.into_iter().zip(answers) {
        let named = |text| serde_json::from_slice::<Named<'_>>(text).expect("an object with an id");
        assert_eq!(named(line.trim_ascii()).id.get(), named(answer).id.get());
    }
}

/// What a line and its answer have in common, to the octet.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

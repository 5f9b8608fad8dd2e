//! A list of steps, run in order until one fails, and the table of what happened.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::setup::Missing;

/// One step of a run.
pub(crate) struct Step {
    /// A word or two for the table.
    pub(crate) name: &'static str,
    /// The tools without which it is left out.
    pub(crate) needs: &'static [&'static str],
    /// What it does.
    pub(crate) run: fn(&Missing) -> Result<Outcome>,
}

/// How a step ended, when it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did all its work.
    Passed,
    /// It did its work but for a part that could not be done here.
    Partly(String),
    /// It could not be done here, and why.
    LeftOut(String),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    Done(Outcome),
    Failed,
}

struct Row {
    name: &'static str,
    took: Duration,
    ending: Ending,
}

/// Runs the steps until one fails, and prints the table either way.
pub(crate) fn run(steps: &[&[Step]], missing: &Missing, began: Instant) -> Result<()> {
    let mut rows = vec![Row { name: "setup", took: began.elapsed(), ending: Ending::Done(Outcome::Passed) }];
    let mut failure = None;
    for step in steps.iter().copied().flatten() {
        println!("\n=== {} ===", step.name);
        let start = Instant::now();
        let outcome = match missing.among(step.needs) {
            Some(tool) => Ok(Outcome::LeftOut(format!("{tool} is missing"))),
            None => (step.run)(missing),
        };
        let took = start.elapsed();
        println!("=== {}: {:.1} s ===", step.name, took.as_secs_f32());
        match outcome {
            Ok(outcome) => rows.push(Row { name: step.name, took, ending: Ending::Done(outcome) }),
            Err(error) => {
                rows.push(Row { name: step.name, took, ending: Ending::Failed });
                failure = Some(error.context(format!("step {}", step.name)));
                break;
            }
        }
    }
    print!("\n{}", table(&rows, began.elapsed()));
    match failure {
        Some(error) => Err(error),
        None if rows.len() < 2 => bail!("there was nothing to run"),
        None => Ok(()),
    }
}

fn table(rows: &[Row], total: Duration) -> String {
    let mut lines = vec![format!("{:<14} {:>9}  result", "step", "seconds")];
    let mut counts = [0_usize; 3];
    let [passed, failed, skipped] = &mut counts;
    for row in rows {
        let result = match &row.ending {
            Ending::Done(Outcome::Passed) => {
                *passed += 1;
                "passed".to_owned()
            }
            Ending::Done(Outcome::Partly(without)) => {
                *passed += 1;
                format!("passed without {without}")
            }
            Ending::Done(Outcome::LeftOut(why)) => {
                *skipped += 1;
                format!("left out: {why}")
            }
            Ending::Failed => {
                *failed += 1;
                "FAILED".to_owned()
            }
        };
        lines.push(format!("{:<14} {:>9.1}  {result}", row.name, row.took.as_secs_f32()));
    }
    lines.push(format!("{:<14} {:>9.1}", "all", total.as_secs_f32()));
    lines.push(format!("steps: {passed} passed, {failed} failed, {skipped} skipped\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_what_happened() {
        let row = |name, ending| Row { name, took: Duration::from_millis(1500), ending };
        let rows = [
            row("fmt", Ending::Done(Outcome::Passed)),
            row("test", Ending::Done(Outcome::Partly("koshin-issuance: openssl is missing".to_owned()))),
            row("fuzz", Ending::Done(Outcome::LeftOut("cargo-fuzz is missing".to_owned()))),
            row("e2e", Ending::Failed),
        ];
        let text = table(&rows, Duration::from_secs(5));
        assert!(text.contains("passed without koshin-issuance: openssl is missing\n"), "{text}");
        assert!(text.contains("fuzz                 1.5  left out: cargo-fuzz is missing\n"), "{text}");
        assert!(text.ends_with("steps: 2 passed, 1 failed, 1 skipped\n"), "{text}");
    }
}

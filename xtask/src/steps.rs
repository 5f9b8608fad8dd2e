//! A list of steps, run in order, and the table of what happened.

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

/// What a failed step means for those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// They are not run: somebody waits for the verdict.
    Stops,
    /// They are run all the same: nobody will look before the morning.
    IsReported,
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

/// Runs the steps, prints the table, and fails when a step did.
pub(crate) fn run(steps: &[&[Step]], missing: &Missing, began: Instant, failure: Failure) -> Result<()> {
    let mut rows = vec![Row { name: "setup", took: began.elapsed(), ending: Ending::Done(Outcome::Passed) }];
    let mut failed = Vec::new();
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
                println!("=== {} FAILED: {error:#} ===", step.name);
                failed.push(format!("step {}: {error:#}", step.name));
                if failure == Failure::Stops {
                    break;
                }
            }
        }
    }
    print!("\n{}", table(&rows, began.elapsed()));
    verdict(&failed, rows.len() - 1)
}

fn verdict(failed: &[String], run: usize) -> Result<()> {
    match failed {
        [] if run == 0 => bail!("there was nothing to run"),
        [] => Ok(()),
        [one] => bail!("{one}"),
        several => bail!("{} steps failed\n  {}", several.len(), several.join("\n  ")),
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

    fn ending_after(failure: Failure) -> String {
        const STEPS: &[Step] = &[
            Step { name: "one", needs: &[], run: |_| bail!("the first") },
            Step { name: "two", needs: &[], run: |_| Ok(Outcome::Passed) },
            Step { name: "three", needs: &[], run: |_| bail!("the last") },
        ];
        let error = run(&[STEPS], &crate::setup::missing_now(crate::setup::Extent::Ci), Instant::now(), failure);
        format!("{:#}", error.unwrap_err())
    }

    #[test]
    fn a_failure_stops_the_rest_or_is_reported_with_the_others() {
        assert_eq!(ending_after(Failure::Stops), "step one: the first");
        assert_eq!(ending_after(Failure::IsReported), "2 steps failed\n  step one: the first\n  step three: the last");
        assert!(verdict(&[], 0).is_err());
        assert!(verdict(&[], 1).is_ok());
    }

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

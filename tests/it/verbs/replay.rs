//! `replay-rejects`, as an operator uses it: what comes back is what came, and it comes once.

use std::process::Output;

use crate::sources::dead_letters::{Whole, in_topic, late, pipeline, send_good, send_whole, whole};
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, create_topic};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{text, tickcast};
use crate::support::readings::run_until;

/// What it says on stdout.
fn replay(bench: &TestPipeline, more: &[&str]) -> Output {
    tickcast("replay-rejects", &bench.file(), more)
}

fn said(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).trim_end()
}

#[test]
fn what_comes_back_is_what_came_and_it_comes_once() {
    let Some(addr) = brokers_or_skip() else { return };
    for (id, state) in [("back.once", in_topic("back.once")), ("back.again", "dir: state".to_owned())] {
        let bench = pipeline(addr, id, &state);
        let topic = format!("{id}.in");
        send_good(addr, id);
        let mut clashing = Whole::new("\u{0}key", Some("\u{0}broken"));
        clashing.headers.push(("reason".to_owned(), Some(b"mine".to_vec())));
        let came = [clashing, Whole::new("", None), late()];
        send_whole(addr, &topic, &came);
        run_until(&bench, || count(addr, &format!("{id}.rejects"), 1) >= came.len());
        let input = || whole(addr, &topic);
        let before = input().len();

        let undecodable = ["--where", "reason = 'undecodable' -- not those that are late"];
        let shown = replay(&bench, &[&undecodable[..], &["--dry-run"]].concat());
        assert_eq!(
            said(&shown),
            format!("to be sent to topic {topic}: 2; sent before: 0; cut, and not sent: 0")
        );
        let asked = replay(&bench, &undecodable);
        assert_eq!(asked.status.code(), Some(1), "nobody is there to say yes");
        assert!(text(&asked.stderr).contains("--yes"), "{}", text(&asked.stderr));
        assert_eq!(input().len(), before);

        let sent = replay(&bench, &[&undecodable[..], &["--yes"]].concat());
        assert_eq!(said(&sent), format!("sent to topic {topic}: 2; sent before: 0; cut, and not sent: 0"));
        assert_eq!(input()[before..], came[..2]);
        // The one that was skipped is not taken for sent.
        let rest = replay(&bench, &["--yes"]);
        assert_eq!(said(&rest), format!("sent to topic {topic}: 1; sent before: 2; cut, and not sent: 0"));
        assert!(
            text(&rest.stderr).contains("of these late: 1; they are late again"),
            "{}",
            text(&rest.stderr)
        );
        assert_eq!(input()[before..], came);
        let again = replay(&bench, &["--yes"]);
        assert_eq!(said(&again), format!("sent to topic {topic}: 0; sent before: 3; cut, and not sent: 0"));
        assert_eq!(input().len(), before + came.len());

        // They are rejected again, under new offsets, and may be sent again.
        run_until(&bench, || count(addr, &format!("{id}.rejects"), 1) >= 2 * came.len());
        let twice = replay(&bench, &["--dry-run"]);
        assert_eq!(
            said(&twice),
            format!("to be sent to topic {topic}: 3; sent before: 3; cut, and not sent: 0")
        );

        // Another topic has another count.
        let other = format!("{id}.other");
        create_topic(addr, &other, 1);
        let sent =
            replay(&bench, &["--yes", "--to", &other, "--where", "reason = 'late' AND \"offset\" < 6"]);
        assert_eq!(said(&sent), format!("sent to topic {other}: 1; sent before: 0; cut, and not sent: 0"));
        assert_eq!(whole(addr, &other), came[2..]);
    }
}

#[test]
fn what_cannot_be_sent_is_said() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "unsent";
    let bench = pipeline(addr, id, &in_topic(id));
    for (more, expected) in [
        (&["--yes", "--to", "unsent.nowhere"][..], "topic unsent.nowhere does not exist"),
        (&["--yes", "--where", "reasn = 'late'"], "reasn"),
        (&["--yes", "--where", "true); DROP TABLE rejects; SELECT (1"], "query:"),
    ] {
        let refused = replay(&bench, more);
        assert_eq!(refused.status.code(), Some(1), "{expected}");
        assert!(text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
}

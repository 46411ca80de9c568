//! `replay-rejects`: rejects sent back as the records that they were.
//! It must not know how they are sent, nor how what was sent before is known.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use tickcast_connect::{KafkaTopicSpec, Replay, ReplayFate};
use tickcast_sql::query::Session;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{Reason, Stream};
use tickcast_stream::record::{RejectRow, RejectRows};

use super::outcome::{Failed, VerbResult};
use super::say::say;
use crate::config::plan::Plan;

/// What the condition may take: far more than a batch of the largest rejects.
const MEMORY_BYTES: usize = 1 << 30;

/// Cut rejects that are named; more are counted.
const NAMED: usize = 20;

/// What is sent where.
#[derive(Args)]
pub struct ReplayArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Which rejects: a condition over the table `rejects`, such as "reason = 'undecodable'". All
    /// of them, unless said.
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
    /// The topic that they go to: the source's, unless said.
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<String>,
    /// Show what would be sent, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Send without asking.
    #[arg(long)]
    pub yes: bool,
}

/// Sends rejects back. Errors: `Query` for the condition, `Sink` when they cannot be sent.
pub fn replay(plan: &Plan, args: &ReplayArgs) -> VerbResult {
    let condition = args.condition.as_deref().unwrap_or("true");
    let rejects = Rejects {
        session: Session::in_order(plan.tables()?, MEMORY_BYTES)?,
        // On lines of its own: it may end in a comment.
        sql: format!("SELECT * FROM rejects WHERE (\n{condition}\n)"),
        to: target(plan, args.to.as_deref())?,
        notes: format!("{}.replayed", plan.name),
    };

    if args.dry_run || !args.yes {
        let found = rejects.offer(true)?;
        found.warn();
        let topic = &rejects.to.topic;
        if args.dry_run || found.sent == 0 {
            say(&found.told(&format!("to be sent to topic {topic}")))?;
            return Ok(());
        }
        if !confirmed(&found.told(&format!("to be sent to topic {topic}")))? {
            return Err(Failed::Unmet("nothing was sent (--yes sends without asking)".into()));
        }
        say(&rejects.offer(false)?.told(&format!("sent to topic {topic}")))?;
        return Ok(());
    }

    let sent = rejects.offer(false)?;
    sent.warn();
    say(&sent.told(&format!("sent to topic {}", rejects.to.topic)))?;
    Ok(())
}

/// The topic that rejects go to. Errors: `Config`, when there is none.
fn target(plan: &Plan, to: Option<&str>) -> Result<KafkaTopicSpec> {
    let rejects = plan.sinks.of(Stream::Rejects).and_then(|sink| sink.kafka()).map(|sink| &sink.to);
    let client = plan.source.client().or(rejects.map(|topic| &topic.client));
    let topic = to.or(plan.source.group().map(|group| group.topic));
    match (client, topic) {
        (Some(client), Some(topic)) => Ok(KafkaTopicSpec { client: client.clone(), topic: topic.to_owned() }),
        (Some(_), None) => Err(Error::new(Kind::Config, "the source is no topic: name one by --to")),
        (None, _) => {
            Err(Error::new(Kind::Config, "neither source nor rejects are topics: nothing to send to"))
        }
    }
}

/// Whether whoever sits there says yes.
fn confirmed(what: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{what}. Send? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|cause| Error::new(Kind::Io, "cannot read the answer").because(cause))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// The rejects that are wanted, and where they go.
struct Rejects {
    session: Session,
    sql: String,
    to: KafkaTopicSpec,
    notes: String,
}

impl Rejects {
    /// Offers each of them; `dry`: nothing is sent.
    fn offer(&self, dry: bool) -> Result<Tally> {
        let mut replay = Replay::open(&self.to, &self.notes, dry)?;
        let mut tally = Tally::default();
        self.session.for_each_batch(&self.sql, &mut |batch| {
            for row in RejectRows::of(&batch)?.iter() {
                tally.count(&row, replay.offer(&row)?);
            }
            Ok(())
        })?;
        replay.finish()?;
        Ok(tally)
    }
}

/// What became of them.
#[derive(Default)]
struct Tally {
    sent: u64,
    late: u64,
    sent_before: u64,
    cut: u64,
    /// The first of those that are cut, for a person.
    named: Vec<String>,
}

impl Tally {
    fn count(&mut self, row: &RejectRow<'_>, fate: ReplayFate) {
        match fate {
            ReplayFate::Sent => {
                self.sent += 1;
                self.late += u64::from(row.reason == Reason::Late.word());
            }
            ReplayFate::SentBefore => self.sent_before += 1,
            ReplayFate::Cut => {
                self.cut += 1;
                if self.named.len() < NAMED {
                    let RejectRow { topic, partition, offset, .. } = row;
                    let bytes = row.cut.unwrap_or(0);
                    self.named
                        .push(format!("{topic} partition {partition} offset {offset}, of {bytes} bytes"));
                }
            }
        }
    }

    /// Says what the operator should know before.
    fn warn(&self) {
        for named in &self.named {
            eprintln!("not sent, because only its beginning was kept: {named}");
        }
        if self.cut > self.named.len() as u64 {
            eprintln!("and {} more", self.cut - self.named.len() as u64);
        }
        if self.late > 0 {
            eprintln!(
                "of these late: {}; they are late again, unless window.lateness is raised first",
                self.late
            );
        }
    }

    fn told(&self, what: &str) -> String {
        let Tally { sent, sent_before, cut, .. } = self;
        format!("{what}: {sent}; sent before: {sent_before}; cut, and not sent: {cut}")
    }
}

//! Looks from time to time whether topics are still the same ones: a topic keeps its name when it
//! is deleted and made anew, not its id.
//! It must not decide what that means.

use std::collections::BTreeMap;
use std::result;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use tickcast_stream::error::Result;
use tickcast_stream::{LogChanged, LogId, LogKind};

use super::login::Login;
use super::read::{Purpose, Visible, reading_consumer};
use super::spec::KafkaClientSpec;
use super::topic_id::{TopicIdRequest, TopicIds, topic_ids};
use super::trouble::BrokerLog;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3);
/// How long a broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicNews {
    /// All are there, and the same ones as before.
    Same,
    /// There is no such topic now.
    Missing(String),
    /// It is another one than it was.
    Changed(LogChanged),
}

/// Watches topics through a client that is there for something else.
pub struct TopicWatch<C: ConsumerContext> {
    // Before the client that it is a request of: fields go in their order.
    request: Option<TopicIdRequest>,
    consumer: Arc<BaseConsumer<C>>,
    /// That of a client of its own.
    login: Option<Login>,
    topics: Vec<String>,
    known: BTreeMap<String, LogId>,
    next: Instant,
}

impl TopicWatch<BrokerLog> {
    /// Through a client of its own. Errors: `Config`, when librdkafka refuses the properties.
    pub fn of_topics(client: &KafkaClientSpec, topics: Vec<String>) -> Result<Self> {
        let login = Some(Login::of(client));
        let consumer = reading_consumer(client, Purpose::State, Visible::Committed)?;
        Ok(TopicWatch { login, ..TopicWatch::new(Arc::new(consumer), topics) })
    }
}

impl<C: ConsumerContext> TopicWatch<C> {
    /// Knows no id yet.
    pub fn new(consumer: Arc<BaseConsumer<C>>, topics: Vec<String>) -> Self {
        TopicWatch {
            request: None,
            consumer,
            login: None,
            topics,
            known: BTreeMap::new(),
            next: Instant::now(),
        }
    }

    /// Goes on with another client.
    pub fn go_on_with(&mut self, consumer: &Arc<BaseConsumer<C>>) {
        self.request = None;
        self.consumer = Arc::clone(consumer);
        self.next = Instant::now();
    }

    /// The ids that are known.
    pub fn known(&self) -> &BTreeMap<String, LogId> {
        &self.known
    }

    fn names(&self) -> Vec<&str> {
        self.topics.iter().map(String::as_str).collect()
    }

    fn learn(&mut self, ids: &TopicIds) {
        for (topic, id) in ids {
            if let Some(id) = id {
                self.known.entry(topic.clone()).or_insert(*id);
            }
        }
    }

    /// Asks for the ids, waits for them, and keeps those that are new. Errors: why no broker says
    /// them.
    pub fn ask(&mut self, within: Duration) -> result::Result<(), RDKafkaErrorCode> {
        self.next = Instant::now() + EVERY;
        let ids = topic_ids(self.consumer.client(), &self.names(), within)?;
        self.learn(&ids);
        Ok(())
    }

    /// What there is to say now; none, where nothing was asked or answered since the last call.
    pub fn look(&mut self) -> Option<TopicNews> {
        self.log_in();
        let Some(request) = &self.request else {
            if Instant::now() >= self.next {
                self.next = Instant::now() + EVERY;
                self.request = Some(TopicIdRequest::new(self.consumer.client(), &self.names(), ANSWER));
            }
            return None;
        };

        let answer = request.answer(Duration::ZERO)?;
        self.request = None;
        self.hear(answer)
    }

    /// As [`TopicWatch::look`], and waits for the answer, where the last one is not of just now.
    pub fn look_now(&mut self, within: Duration) -> Option<TopicNews> {
        self.log_in();
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + EVERY;
        let answer = topic_ids(self.consumer.client(), &self.names(), within);
        self.hear(answer)
    }

    /// What was answered may have changed since: the next look asks again.
    pub fn doubt(&mut self) {
        self.next = Instant::now();
    }

    /// A client of its own has a login of its own.
    fn log_in(&self) {
        if let Some(login) = &self.login {
            login.renew(&*self.consumer);
        }
    }

    fn hear(&mut self, answer: result::Result<TopicIds, RDKafkaErrorCode>) -> Option<TopicNews> {
        match answer {
            Ok(ids) => Some(self.compare(&ids)),
            Err(error) => {
                tracing::debug!(%error, topics = ?self.topics, "cannot ask for the ids of topics");
                None
            }
        }
    }

    fn compare(&mut self, ids: &TopicIds) -> TopicNews {
        for topic in &self.topics {
            let Some(id) = ids.get(topic) else { return TopicNews::Missing(topic.clone()) };
            if let (Some(&was), Some(is)) = (self.known.get(topic), *id)
                && was != is
            {
                return TopicNews::Changed(LogChanged { kind: LogKind::Topic, name: topic.clone(), was, is });
            }
        }
        self.learn(ids);
        TopicNews::Same
    }
}

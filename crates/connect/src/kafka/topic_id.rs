//! What a topic's id is: librdkafka knows it, and has no safe wrapper for it.
//! It must not decide what an id means.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use tickcast_stream::LogId;

use super::native::Owned;

/// The library says itself when the time is over.
const SLACK: Duration = Duration::from_millis(500);

/// The topics that there are, and the id of each; none where the broker is too old to have ids.
pub type TopicIds = BTreeMap<String, Option<LogId>>;

/// A question for the ids of topics, on its way to a broker. It must not live longer than the
/// client that it was asked with.
pub struct TopicIdRequest {
    queue: Owned<native::rd_kafka_queue_t>,
}

// SAFETY: a queue of the library may be polled by any thread.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
unsafe impl Send for TopicIdRequest {}

impl TopicIdRequest {
    /// Asks, and does not wait.
    #[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
    pub fn new<C: ClientContext>(client: &Client<C>, topics: &[&str], timeout: Duration) -> Self {
        // A name with a zero in it is no topic's.
        let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;

        // SAFETY: the client is alive, and the names are until the collection has copied them. All
        // that is made here is released by its guard.
        unsafe {
            let handle = client.native_ptr();
            let queue = Owned(native::rd_kafka_queue_new(handle), native::rd_kafka_queue_destroy);
            let collection = Owned(
                native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
                native::rd_kafka_TopicCollection_destroy,
            );
            let options = Owned(
                native::rd_kafka_AdminOptions_new(handle, operation),
                native::rd_kafka_AdminOptions_destroy,
            );
            let (text, length) = (ptr::null_mut(), 0);
            native::rd_kafka_AdminOptions_set_request_timeout(options.0, millis(timeout), text, length);
            native::rd_kafka_DescribeTopics(handle, collection.0, options.0, queue.0);
            TopicIdRequest { queue }
        }
    }

    /// The answer, if it comes within the time; a topic that does not exist is not in it. Errors:
    /// the broker's, or that there was none.
    #[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
    pub fn answer(&self, within: Duration) -> Option<Result<TopicIds, RDKafkaErrorCode>> {
        // SAFETY: the queue is ours; the event is released by its guard, after it was read.
        unsafe {
            let event = native::rd_kafka_queue_poll(self.queue.0, millis(within));
            let event = Owned(event, native::rd_kafka_event_destroy);
            if event.0.is_null() {
                return None;
            }
            let error = native::rd_kafka_event_error(event.0);
            if error != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Some(Err(error.into()));
            }
            Some(read(event.0))
        }
    }
}

/// Asks for the ids of topics, and waits for the answer. Errors: as [`TopicIdRequest::answer`], or
/// that it has not come within the time.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<TopicIds, RDKafkaErrorCode> {
    let request = TopicIdRequest::new(client, topics, timeout);
    request.answer(timeout + SLACK).unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut))
}

fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

/// Reads the answer.
///
/// # Safety
///
/// `event` is a whole event of the library.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
unsafe fn read(event: *mut native::rd_kafka_event_t) -> Result<TopicIds, RDKafkaErrorCode> {
    use native::rd_kafka_resp_err_t as Code;

    let mut found = TopicIds::new();
    // SAFETY: as the caller says. The descriptions and their strings live as long as the event.
    unsafe {
        let result = native::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }

        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for index in 0..count {
            let topic = *topics.add(index);
            match native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(topic)) {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID => {
                    continue;
                }
                code => return Err(code.into()),
            }

            let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic));
            let id = native::rd_kafka_TopicDescription_topic_id(topic);
            let most = native::rd_kafka_Uuid_most_significant_bits(id) as u64;
            let least = native::rd_kafka_Uuid_least_significant_bits(id) as u64;
            let id = u128::from(most) << 64 | u128::from(least);
            found.insert(name.to_string_lossy().into_owned(), (id != 0).then_some(LogId(id)));
        }
    }
    Ok(found)
}

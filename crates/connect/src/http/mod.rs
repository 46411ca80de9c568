//! HTTP for those who ask a server now and then: a schema registry, or who gives out tokens.
//! It must not know what is asked.

mod no_answer;
mod request;

pub(crate) use no_answer::NoAnswer;
pub(crate) use request::{ANSWER_WITHIN, Access, HttpAnswer, Keys, Post, Request, call};

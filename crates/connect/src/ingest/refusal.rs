//! Why a request's records are not taken.
//! It must not know HTTP's numbers.

use std::fmt;

/// Why a request is refused. All of it is: nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Something in its body is no record: where, and why.
    NotRecords(String),
    /// The body, or a record of it, has more bytes than are taken.
    TooLarge(String),
    /// What its body is in is not what the pipeline reads.
    WrongType(String),
    /// It does not show the token.
    Unauthorized,
    /// It comes from a web page, and shows no token.
    OfWebPage,
    /// More is under way than is taken at a time.
    Busy,
    /// The log does not take records for now.
    Unavailable,
    /// The body did not come to its end.
    CutOff,
}

impl Refusal {
    /// The names of all.
    pub const WORDS: [&str; 8] = [
        "not_records",
        "too_large",
        "wrong_type",
        "unauthorized",
        "of_web_page",
        "busy",
        "unavailable",
        "cut_off",
    ];

    /// Its name in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::NotRecords(_) => "not_records",
            Refusal::TooLarge(_) => "too_large",
            Refusal::WrongType(_) => "wrong_type",
            Refusal::Unauthorized => "unauthorized",
            Refusal::OfWebPage => "of_web_page",
            Refusal::Busy => "busy",
            Refusal::Unavailable => "unavailable",
            Refusal::CutOff => "cut_off",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotRecords(what) | Refusal::TooLarge(what) | Refusal::WrongType(what) => {
                f.write_str(what)
            }
            Refusal::Unauthorized => f.write_str("this needs the token: Authorization: Bearer TOKEN"),
            Refusal::OfWebPage => {
                f.write_str("what web pages send is taken only with a token (source.http.token_file)")
            }
            Refusal::Busy => f.write_str("too much is under way; send it again"),
            Refusal::Unavailable => f.write_str("records cannot be stored for now; send them again"),
            Refusal::CutOff => f.write_str("the body did not come to its end"),
        }
    }
}

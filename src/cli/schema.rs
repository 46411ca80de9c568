//! `schema`: what a pipeline file may say, and what the records of its results are.
//! It must not read a pipeline's input.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tickcast_connect::{PayloadFormat, ResultSchema};
use tickcast_stream::Stream;
use tickcast_stream::record::RecordShape;

use super::outcome::VerbResult;
use super::say::say;
use crate::config;

/// The intervals of a pipeline that says nothing of them, as the published schemas have them.
const PUBLISHED: RecordShape<'_> = RecordShape { levels: &[0.5, 0.9], direction: true };

/// The options of `schema`.
#[derive(Args)]
pub struct SchemaArgs {
    /// The same as a Markdown page: docs/reference.md is made by it.
    #[arg(long, hide = true)]
    markdown: bool,
    /// Print the schema of these records instead.
    #[arg(long, value_enum)]
    records: Option<ResultStream>,
    /// The language of that schema.
    #[arg(long, value_enum, default_value = "avro", requires = "records")]
    format: ResultFormat,
    /// The pipeline file whose records these are. Without it they have the levels 0.5 and 0.9, and
    /// a direction.
    #[arg(long, requires = "records")]
    pipeline: Option<PathBuf>,
}

/// Records that have a schema.
#[derive(Clone, Copy, ValueEnum)]
enum ResultStream {
    Forecasts,
    Scores,
}

/// Languages of schemas.
#[derive(Clone, Copy, ValueEnum)]
enum ResultFormat {
    /// An Avro schema.
    Avro,
    /// A `.proto` file.
    Protobuf,
    /// A JSON Schema.
    Json,
}

/// Prints a schema. Errors: the pipeline file's faults.
pub fn schema(sets: &[String], args: &SchemaArgs) -> VerbResult {
    let Some(records) = args.records else {
        let text = if args.markdown { config::reference() } else { format!("{:#}", config::schema()) };
        return Ok(say(text.trim_end())?);
    };

    let stream = match records {
        ResultStream::Forecasts => Stream::Forecasts,
        ResultStream::Scores => Stream::Scores,
    };

    let format = match args.format {
        ResultFormat::Avro => PayloadFormat::Avro,
        ResultFormat::Protobuf => PayloadFormat::Protobuf,
        ResultFormat::Json => PayloadFormat::Json,
    };

    let pipeline = args.pipeline.as_ref().map(|path| config::load(path, sets)).transpose()?;
    let shape = pipeline.as_ref().map_or(PUBLISHED, |pipeline| pipeline.plan.record_shape());
    let text = ResultSchema::of(stream, &shape.schema(stream))?.text(format)?;
    Ok(say(text.trim_end())?)
}

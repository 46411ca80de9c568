//! From a plan to a factory of partitions: the schema is read and the SQL planned, once for all of
//! them.
//! It must not read records.

use std::sync::Arc;

use arrow::datatypes::Schema;
use serde_json::json;
use tickcast_connect::{
    DecodeSpec, Decoder, OpenSource, SourceSchema, avro_fields, columns, read_whole_text,
};
use tickcast_sql::window::{Aggregation, SeriesWindowOperator, WindowOperator, referenced_columns};
use tickcast_sql::{Watermark, WindowSpec};
use tickcast_stream::decode::Decode;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::system_fields;
use tickcast_stream::operator::Operator;
use tickcast_stream::runtime::{PipelineFactory, PipelineParts};

use crate::config::Plan;

/// Far longer than the schema of any record.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;

/// A factory for an open source, which from now on reads no column that nobody needs. Errors: as
/// [`factory`].
pub fn factory_for(plan: &Plan, open: &mut OpenSource) -> Result<PipelineFactory> {
    let (factory, wanted) = planned(plan, open.known.clone())?;
    open.source.select(&wanted)?;
    Ok(factory)
}

/// A factory for a source that is not open. Errors: `Config` for the schema, `Query` for the
/// expressions.
pub fn factory(plan: &Plan, known: SourceSchema) -> Result<PipelineFactory> {
    planned(plan, known).map(|(factory, _)| factory)
}

/// A factory for a source that is only looked at; standard input must not be read here, its columns
/// are taken on trust. Errors: as [`factory`], and the source's.
pub fn factory_unread(plan: &Plan) -> Result<PipelineFactory> {
    let mut known = plan.source.known()?;
    if !plan.source.traits().is_replayable {
        let mut wanted = referenced_columns(&plan.window.select)?;
        wanted.extend([plan.key.clone(), plan.time.clone()]);
        known.header = Some(wanted);
    }
    factory(plan, known)
}

/// The factory, and the columns that it reads.
fn planned(plan: &Plan, known: SourceSchema) -> Result<(PipelineFactory, Vec<String>)> {
    let source = plan.source.traits();
    let decode = decode_spec(plan, known)?;
    let mut wanted = vec![decode.key.clone(), decode.time.clone()];
    wanted.extend(decode.columns.iter().map(|field| field.name().clone()));

    let rows = Decoder::new(decode.clone())?.schema();
    let data = Schema::new(rows.fields()[system_fields().len()..].to_vec());
    let types: Vec<String> =
        data.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    let shape = json!({
        "input": source.identity, "types": types, "key": plan.key, "time": plan.time,
        "window": plan.window, "forecast": plan.forecast, "limits": { "series": plan.window.most_series },
    });
    let aggregation = Aggregation::plan(&plan.window.select, &Arc::new(data))?;
    features_are_numbers(plan, &aggregation)?;

    let (aggregation, window) = (Arc::new(aggregation), plan.window.clone());
    let factory = PipelineFactory::new(PipelineParts {
        topic: source.label,
        pipeline: plan.name.clone(),
        fingerprint: shape.to_string(),
        streams: plan.sinks.all().map(|(stream, _)| stream).collect(),
        is_bounded: source.is_bounded,
        is_shared: source.is_shared,
        has_past: source.has_past,
        forecast: plan.forecast.clone(),
        grid: plan.window.grid.clone(),
        new_decoder: Box::new(move || Ok(Box::new(Decoder::new(decode.clone())?))),
        new_window: Box::new(move || new_window(&window, &aggregation)),
    });
    Ok((factory, wanted))
}

fn new_window(window: &WindowSpec, aggregation: &Arc<Aggregation>) -> Box<dyn Operator> {
    let aggregation = Arc::clone(aggregation);
    match window.watermark {
        Watermark::Partition => Box::new(WindowOperator::new(window, aggregation)),
        Watermark::Series => Box::new(SeriesWindowOperator::new(window, aggregation)),
    }
}

fn decode_spec(plan: &Plan, known: SourceSchema) -> Result<DecodeSpec> {
    let fields = match &plan.schema {
        Some(path) => {
            let text = read_whole_text(path, SCHEMA_BYTES_MAX)
                .or_fail(Kind::Config, || format!("cannot read the schema {}", path.display()))?;
            Some(avro_fields(&text).map_err(|cause| {
                Error::new(Kind::Config, format!("schema {}", path.display())).because(cause)
            })?)
        }
        None => known.fields,
    };

    let wanted = referenced_columns(&plan.window.select)?;
    Ok(DecodeSpec {
        format: plan.source.traits().format.unwrap_or(plan.format),
        key: plan.key.clone(),
        time: plan.time.clone(),
        columns: columns(fields.as_deref(), &plan.key, &plan.time, &wanted)?,
        schema: fields,
        header: known.header,
    })
}

fn features_are_numbers(plan: &Plan, aggregation: &Aggregation) -> Result<()> {
    for name in &plan.forecast.features {
        let field = aggregation.output_schema().field_with_name(name);
        if !field.is_ok_and(|field| field.data_type().is_numeric()) {
            let what = format!("window.select.{name}: a feature must be a number, and this is not");
            return Err(Error::new(Kind::Query, what));
        }
    }
    Ok(())
}

//! From a plan to a factory of partitions: the schema is read and the SQL planned, once for all of
//! them.
//! It must not read records.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use tickcast_connect::{
    ComputedValues, CsvStyle, DecodeSpec, Decoder, Nulls, OpenSource, RecordColumn, SeriesKey, SourceSchema,
    TimeComputation, TimeFrom, TimeSpec, WireFormat, columns,
};
use tickcast_sql::deduplicate::DeduplicateOperator;
use tickcast_sql::prepare::{Preparation, PrepareOperator, infer_types};
use tickcast_sql::window::{Aggregation, referenced_columns, window_operator};
use tickcast_sql::{TimeExpression, Watermark, WindowKind, WindowSpec};
use tickcast_stream::PartitionId;
use tickcast_stream::decode::Decode;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{EventTime, system_fields};
use tickcast_stream::operator::Operator;
use tickcast_stream::runtime::{AheadRule, NewOperator, PipelineFactory, PipelineParts};

use crate::config::Plan;
use crate::schemas::{self, Schemas};

/// A factory for an open source, which from now on reads no column that nobody needs. Errors: as
/// [`factory`].
pub fn factory_for(plan: &Plan, open: &mut OpenSource) -> Result<PipelineFactory> {
    let (factory, wanted) = planned(plan, open.known.clone())?;
    open.source.select(&wanted)?;
    open.source.know_times(factory.decoder(PartitionId(0))?);
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
        let mut wanted = plan.prepare.record_columns(&prepared_columns(plan)?)?;
        wanted.extend(plan.key.columns().iter().cloned());
        wanted.extend(time_columns(plan)?);
        wanted.extend(plan.records.shape.melt.iter().flat_map(|melt| melt.columns.clone()));
        wanted.sort();
        wanted.dedup();
        known.header = Some(wanted);
    }
    factory(plan, known)
}

/// The factory, and the columns that it reads.
fn planned(plan: &Plan, known: SourceSchema) -> Result<(PipelineFactory, Vec<String>)> {
    let source = plan.source.traits();
    let decode = decode_spec(plan, known)?;
    let decoder = Decoder::new(decode.clone(), PartitionId(0))?;
    let wanted = decoder.source_columns();
    tell_doubles(decode.header.as_deref().unwrap_or_default(), &wanted);

    let rows = decoder.schema();
    let data: SchemaRef = Arc::new(Schema::new(rows.fields()[system_fields().len()..].to_vec()));
    let types: Vec<String> =
        data.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    let (time, time_as) = time_shape(plan, &decode);
    let mut shape = json!({
        "input": source.identity, "types": types, "key": key_shape(&plan.key), "time": time,
        "time_as": time_as, "future_us": plan.future_us,
        "window": plan.window, "forecast": plan.targets, "limits": { "series": plan.window.most_series },
    });

    note_writing(&mut shape, &decode);

    let (mut input, mut new_prepare, mut new_deduplicate) = (data, None, None);
    if !plan.prepare.is_empty() {
        shape["prepare"] = json!(plan.prepare);
        let prepared = prepared_columns(plan)?;
        let preparation = Arc::new(Preparation::plan(&plan.prepare, &input, &prepared)?);
        input = Arc::clone(preparation.output_schema());
        let new = move || Box::new(PrepareOperator::new(Arc::clone(&preparation))) as Box<dyn Operator>;
        new_prepare = Some(Box::new(new) as NewOperator);
    }
    if let Some(spec) = &plan.deduplicate {
        shape["deduplicate"] = json!(spec);
        let operator = DeduplicateOperator::new(spec, &plan.window, &input)?;
        let new = move || Box::new(operator.clone()) as Box<dyn Operator>;
        new_deduplicate = Some(Box::new(new) as NewOperator);
    }
    let aggregation = Aggregation::plan(&plan.window.select, &input)?;
    features_are_numbers(plan, &aggregation)?;

    let (aggregation, window) = (Arc::new(aggregation), plan.window.clone());
    let factory = PipelineFactory::new(PipelineParts {
        topic: source.label,
        pipeline: plan.name.clone(),
        fingerprint: shape.to_string(),
        streams: plan.sinks.all().map(|(stream, _)| stream).collect(),
        leaves_open: source.leaves_open,
        is_shared: source.is_shared,
        has_past: source.has_past,
        ahead_rule: if source.has_timestamps { None } else { ahead_rule(plan) },
        targets: plan.targets.clone(),
        order: plan.window.kind.order(),
        new_decoder: Box::new(move |partition| Ok(Box::new(Decoder::new(decode.clone(), partition)?))),
        new_prepare,
        new_deduplicate,
        new_window: Box::new(move || window_operator(&window, &aggregation)),
    });
    Ok((factory, wanted))
}

/// When a time runs ahead of another, in a source that has no timestamps to judge it by. None where
/// no record closes the windows of another series.
fn ahead_rule(plan: &Plan) -> Option<AheadRule> {
    let WindowSpec { kind, lateness_us, watermark, .. } = plan.window.clone();
    if watermark == Watermark::Series || matches!(kind, WindowKind::Count { .. }) {
        return None;
    }
    let end_of = move |time: EventTime| match &kind {
        WindowKind::Grid(grid) => grid.end_of(grid.first_window_of(grid.pane_of(time))),
        WindowKind::Session { gap_us, .. } => time.plus_us(*gap_us),
        WindowKind::Count { .. } => EventTime::MAX,
    };
    let closed_from = move |time| end_of(time).plus_us(lateness_us);
    Some(AheadRule { future_us: plan.future_us, closed_from: Arc::new(closed_from) })
}

/// The columns that records need before windows, in order.
fn prepared_columns(plan: &Plan) -> Result<Vec<String>> {
    let mut columns = referenced_columns(&plan.window.select)?;
    let by = plan.deduplicate.iter().flat_map(|spec| &spec.by);
    by.for_each(|name| {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    });
    Ok(columns)
}

/// Says which of the wanted columns a CSV header has more than once.
fn tell_doubles(header: &[String], wanted: &[String]) {
    let times = |name: &String| header.iter().filter(|column| *column == name).count();
    for name in wanted.iter().collect::<BTreeSet<_>>().into_iter().filter(|&name| times(name) > 1) {
        tracing::warn!("the CSV header has {} columns `{name}`: the last of them is read", times(name));
    }
}

fn decode_spec(plan: &Plan, known: SourceSchema) -> Result<DecodeSpec> {
    let Schemas { definition, writers } = schemas::of(plan)?;
    let definition = definition.or(known.definition);
    let fields = match &definition {
        Some(schema) => Some(schema.fields()?),
        None => known.fields,
    };

    let wanted = plan.prepare.record_columns(&prepared_columns(plan)?)?;
    has_such_columns(plan, &wanted)?;
    let key = plan.key.columns();
    let shape = &plan.records.shape;
    let mut columns = columns(fields.as_deref(), shape, key, plan.time.from.column(), &wanted)?;
    if fields.is_none() {
        let used = plan.prepare.record_columns(&referenced_columns(&plan.window.select)?)?;
        let untyped = wanted.into_iter().filter(|name| is_untyped(plan, name));
        let (untyped, only_compared): (Vec<String>, Vec<String>) =
            untyped.partition(|name| used.contains(name));
        // As texts they are the same where they are written the same: a number may be too long for
        // a float.
        for field in &mut columns {
            if only_compared.contains(field.name()) {
                *field = field.clone().with_data_type(DataType::Utf8);
            }
        }
        columns = infer_types(&plan.prepare, &plan.window.select, columns, &untyped)?;
    }
    Ok(DecodeSpec {
        format: plan.source.traits().format.unwrap_or(plan.records.format),
        csv: known.csv.unwrap_or_else(|| plan.records.csv.style()),
        key: plan.key.clone(),
        shape: shape.clone(),
        nulls: plan.records.nulls.clone(),
        needed: needed_columns(plan)?,
        time: plan.time.clone(),
        time_by: time_by(plan, fields.as_deref())?,
        future_us: plan.future_us,
        columns,
        schema: fields,
        definition,
        writers,
        header: known.header.or_else(|| plan.records.csv.names()),
    })
}

/// The columns of records that the targets are made of.
fn needed_columns(plan: &Plan) -> Result<BTreeSet<String>> {
    let is_target = |name: &String| plan.targets.iter().any(|spec| spec.target == *name);
    let select = plan.window.select.iter().filter(|(name, _)| is_target(name));
    let select: Vec<(String, String)> = select.cloned().collect();
    let columns = plan.prepare.of_records(&referenced_columns(&select)?)?;
    Ok(columns.into_iter().collect())
}

/// Only Kafka has keys, timestamps and headers. Errors: `Config`, naming the column.
fn has_such_columns(plan: &Plan, wanted: &[String]) -> Result<()> {
    let used = plan.key.columns().iter().chain(wanted).cloned().chain(time_columns(plan)?);
    let has_timestamps = plan.source.traits().has_timestamps;
    for name in used {
        let column = RecordColumn::named(&name);
        if !has_timestamps && column.is_some_and(|column| !column.is_anywhere()) {
            return Err(Error::new(
                Kind::Config,
                format!("only the records of a topic have a column `{name}`"),
            ));
        }
    }

    Ok(())
}

/// What a series is named by; as before there were several ways where one column does it.
fn key_shape(key: &SeriesKey) -> Value {
    match key.columns() {
        [column] => json!(column),
        _ => json!(key),
    }
}

/// Notes how records are written where it is not the usual: a state that was learned from records
/// that were read otherwise is another one.
fn note_writing(shape: &mut Value, decode: &DecodeSpec) {
    if !decode.shape.is_plain() {
        shape["rows"] = json!(decode.shape);
    }
    if decode.format == WireFormat::Csv && decode.csv != CsvStyle::default() {
        shape["csv"] = json!(decode.csv);
    }
    if decode.nulls != Nulls::default() {
        shape["nulls"] = json!(decode.nulls);
    }
}

/// Whether no schema and no key says the type of a column that no schema names.
fn is_untyped(plan: &Plan, name: &str) -> bool {
    let is_melted = plan.records.shape.melt.as_ref().is_some_and(|melt| melt.name == name);
    let is_known = is_melted || RecordColumn::named(name).is_some();
    !is_known && !plan.key.columns().iter().any(|key| key == name) && Some(name) != plan.time.from.column()
}

/// The columns that event times are read from.
fn time_columns(plan: &Plan) -> Result<Vec<String>> {
    match &plan.time.from {
        TimeFrom::Column(name) => Ok(vec![name.clone()]),
        TimeFrom::Expression(sql) => TimeExpression::columns_of(sql),
    }
}

/// What computes the event times, where an expression does.
fn time_by(plan: &Plan, schema: Option<&[Field]>) -> Result<Option<TimeComputation>> {
    let Some(sql) = plan.time.from.expression() else { return Ok(None) };
    let names = TimeExpression::columns_of(sql)?;
    let fields = columns(schema, &plan.records.shape, plan.key.columns(), None, &names)?;
    let untyped: Vec<String> = match schema {
        Some(_) => Vec::new(),
        None => names.into_iter().filter(|name| is_untyped(plan, name)).collect(),
    };

    let expression = TimeExpression::plan(sql, fields, &untyped)?;
    let inputs = expression.columns().to_vec();
    let compute = move |rows: &RecordBatch| {
        let (values, failed) = expression.values(rows)?;
        Ok(ComputedValues { values, failed })
    };
    Ok(Some(TimeComputation::new(inputs, Arc::new(compute))))
}

/// What event times are read from, and how they are written where that is said: a state that was
/// learned from other times is another one.
fn time_shape(plan: &Plan, decode: &DecodeSpec) -> (Value, Option<TimeSpec>) {
    let from = plan.time.from.clone();
    let is_usual = plan.time == TimeSpec { from, ..TimeSpec::default() };
    let shape = match (&plan.time.from, &decode.time_by) {
        (TimeFrom::Expression(sql), Some(computation)) => {
            let types = computation.inputs().map(|field| format!("{} {}", field.name(), field.data_type()));
            json!({ "expr": sql, "types": types.collect::<Vec<_>>() })
        }
        (from, _) => json!(from.column()),
    };
    (shape, (!is_usual).then(|| plan.time.clone()))
}

fn features_are_numbers(plan: &Plan, aggregation: &Aggregation) -> Result<()> {
    for name in plan.targets.iter().flat_map(|spec| &spec.features) {
        let field = aggregation.output_schema().field_with_name(name);
        if !field.is_ok_and(|field| field.data_type().is_numeric()) {
            let what = format!("window.select.{name}: a feature must be a number, and this is not");
            return Err(Error::new(Kind::Query, what));
        }
    }
    Ok(())
}

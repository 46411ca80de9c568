//! From a plan to partitions: what is checked once for all of them, and how one is built.
//! It must not read records; it reads the schema and plans the SQL.

use std::sync::Arc;

use serde_json::json;

use arrow::datatypes::{Field, Schema};

use super::partition::Partition;
use crate::config::plan::{FileFormat, Format, Plan, SourcePlan, Start};
use crate::error::{Error, Kind, OrFail, Result};
use crate::forecast::ForecastOperator;
use crate::ingest::{DecodeSpec, Decoder, FileSource, avro_fields, columns};
use crate::ledger::Snapshot;
use crate::message::system_fields;
use crate::operator::Operator;
use crate::window::{Aggregation, WindowOperator, referenced_columns};

/// What a source says of its records before it is read.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The column names of CSV records.
    pub header: Option<Vec<String>>,
    /// The fields of records that carry their types.
    pub fields: Option<Vec<Field>>,
}

/// All that partitions of one pipeline share.
pub struct Blueprint {
    pub plan: Arc<Plan>,
    /// What rejects call the input: the topic, the file, the generator.
    pub topic: String,
    decode: DecodeSpec,
    aggregation: Arc<Aggregation>,
    fingerprint: String,
}

impl Blueprint {
    /// For a file: its header or its own types are known, and it reads no column that nobody needs. Errors: as `new`.
    pub fn for_file(plan: Plan, file: &mut FileSource) -> Result<Self> {
        let known = Known { header: file.header(), fields: file.fields().map(<[Field]>::to_vec) };
        let blueprint = Blueprint::new(plan, known)?;
        let mut wanted = vec![blueprint.decode.key.clone(), blueprint.decode.time.clone()];
        wanted.extend(blueprint.decode.columns.iter().map(|field| field.name().clone()));
        file.select(&wanted)?;
        Ok(blueprint)
    }

    /// Errors: `Config` for the schema, `Query` for the expressions.
    pub fn new(plan: Plan, known: Known) -> Result<Self> {
        let fields = match &plan.schema {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .or_fail(Kind::Config, || format!("cannot read the schema {}", path.display()))?;
                Some(avro_fields(&text).map_err(|cause| {
                    Error::new(Kind::Config, format!("schema {}", path.display())).because(cause)
                })?)
            }
            None => known.fields,
        };
        let wanted = referenced_columns(&plan.window.select)?;
        let format = match &plan.source {
            SourcePlan::File(file) if file.format == FileFormat::Csv => Format::Csv,
            SourcePlan::File(_) | SourcePlan::Generate(_) => Format::Json,
            SourcePlan::Kafka(_) => plan.format,
        };
        let decode = DecodeSpec {
            format,
            key: plan.key.clone(),
            time: plan.time.clone(),
            columns: columns(fields.as_deref(), &plan.key, &plan.time, &wanted)?,
            schema: fields,
            header: known.header,
        };
        let rows = Decoder::new(decode.clone())?.schema();
        let data = Schema::new(rows.fields()[system_fields().len()..].to_vec());
        let types: Vec<String> =
            data.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let shape = json!({
            "input": input(&plan.source), "types": types, "key": plan.key, "time": plan.time,
            "window": plan.window, "forecast": plan.forecast,
        });
        let aggregation = Aggregation::plan(&plan.window.select, &Arc::new(data))?;
        features_are_numbers(&plan, &aggregation)?;
        Ok(Blueprint {
            topic: topic(&plan.source),
            decode,
            aggregation: Arc::new(aggregation),
            fingerprint: shape.to_string(),
            plan: Arc::new(plan),
        })
    }

    /// Whether a partition of which nothing is known has a past that is only learned.
    pub fn is_warm(&self) -> bool {
        matches!(&self.plan.source, SourcePlan::Kafka(kafka) if kafka.start == Start::Warm)
    }

    /// A partition with no memory.
    pub fn partition(&self, id: i32) -> Result<Partition> {
        self.partition_from(id, self.forecasters())
    }

    /// A partition with no memory, whose networks begin with the weights of a file. Errors: `State`, when they do not fit.
    pub fn warm_partition(&self, id: i32, weights: &[u8]) -> Result<Partition> {
        let mut forecasters = self.forecasters();
        forecasters.begin_with(weights).or_fail(Kind::State, || "cannot begin with the imported weights")?;
        self.partition_from(id, forecasters)
    }

    /// Forecasters with no memory.
    pub fn forecasters(&self) -> ForecastOperator {
        ForecastOperator::new(&self.plan.forecast, self.plan.window.size_us)
    }

    /// The forecasters of a partition as a snapshot has them. Errors: `State`, when another pipeline wrote it.
    pub fn forecasters_of(&self, snapshot: &Snapshot) -> Result<ForecastOperator> {
        let mut forecasters = self.forecasters();
        forecasters.restore(self.partition(snapshot.partition)?.last_state(snapshot)?)?;
        Ok(forecasters)
    }

    /// The snapshot with these forecasters in place of its own. Errors: as `forecasters_of`.
    pub fn with_forecasters(&self, snapshot: &Snapshot, forecasters: &ForecastOperator) -> Result<Snapshot> {
        self.partition(snapshot.partition)?.with_last_state(snapshot, forecasters.snapshot()()?)
    }

    /// A partition with no memory that hands its closed windows on instead of forecasting from them.
    pub fn windows(&self, id: i32) -> Result<Partition> {
        self.chain(id, vec![Box::new(self.window())])
    }

    fn window(&self) -> WindowOperator {
        WindowOperator::new(&self.plan.window, Arc::clone(&self.aggregation))
    }

    fn partition_from(&self, id: i32, forecast: ForecastOperator) -> Result<Partition> {
        self.chain(id, vec![Box::new(self.window()), Box::new(forecast)])
    }

    fn chain(&self, id: i32, operators: Vec<Box<dyn Operator>>) -> Result<Partition> {
        let decoder = Decoder::new(self.decode.clone())?;
        Ok(Partition::new(id, self.topic.clone(), self.fingerprint.clone(), decoder, operators))
    }
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

fn topic(source: &SourcePlan) -> String {
    match source {
        SourcePlan::Kafka(kafka) => kafka.topic.clone(),
        SourcePlan::File(file) => file.path.display().to_string(),
        SourcePlan::Generate(_) => "generate".to_owned(),
    }
}

/// What positions are positions of: a state must not go on in another input.
fn input(source: &SourcePlan) -> String {
    match source {
        SourcePlan::Kafka(kafka) => format!("topic {}", kafka.topic),
        // A folder may move with its state.
        SourcePlan::File(file) => format!("file {}", file.path.file_name().unwrap_or_default().display()),
        SourcePlan::Generate(plan) => {
            format!(
                "{:?} series {} seed {} partitions {}",
                plan.process, plan.series, plan.seed, plan.partitions
            )
        }
    }
}

//! A DataFusion session over one pipeline's tables, for reading only.
//! It must not know how a table's bytes are read; it names the tables and answers queries on them.

use std::io::Write;

use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::Runtime;

use super::output::{self, Format};
use super::{files, kafka_table};
use crate::config::plan::{Plan, SinkPlan};
use crate::error::{Error, Kind, OrFail, Result};
use crate::forecast::{forecast_schema, score_schema};
use crate::message::{Stream, reject_schema};

/// The tables of a pipeline, ready for queries.
pub struct Session {
    runtime: Runtime,
    context: SessionContext,
    tables: Vec<&'static str>,
    /// Streams that cannot be queried, and why.
    absent: Vec<(&'static str, &'static str)>,
}

impl Session {
    /// Names the tables; their bytes are read by queries only. Errors: `Query`, when a sink's directory cannot be read.
    pub fn open(plan: &Plan) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("sql")
            .enable_all()
            .build()
            .or_fail(Kind::Io, || "cannot start threads for the query")?;
        let config = SessionConfig::new().with_information_schema(true);
        let mut session = Session {
            runtime,
            context: SessionContext::new_with_config(config),
            tables: Vec::new(),
            absent: Vec::new(),
        };
        for stream in Stream::ALL {
            session.add(plan, stream)?;
        }
        Ok(session)
    }

    fn add(&mut self, plan: &Plan, stream: Stream) -> Result<()> {
        let schema = match stream {
            Stream::Forecasts => forecast_schema(&plan.forecast.levels, plan.forecast.direction),
            Stream::Scores => score_schema(&plan.forecast.levels),
            Stream::Rejects => reject_schema(),
        };
        let name = stream.name();
        let table = match plan.sinks.of(stream) {
            None => Err("have no sink"),
            Some(SinkPlan::Stdout) => Err("go to stdout"),
            Some(SinkPlan::File { dir, format }) => Ok(files::table(dir, *format, stream, schema)?),
            Some(SinkPlan::Kafka { client, topic }) => Ok(kafka_table::table(client, topic, stream, schema)),
        };
        match table {
            Ok(table) => {
                self.context.register_table(name, table).map_err(failure)?;
                self.tables.push(name);
            }
            Err(why) => self.absent.push((name, why)),
        }
        Ok(())
    }

    /// Answers one query.
    pub fn answer(&self, sql: &str, format: Format, out: &mut dyn Write) -> Result<()> {
        self.runtime.block_on(async { output::write(self.plan(sql).await?, format, out).await })
    }

    async fn plan(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        let state = self.context.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state.sql_to_statement(sql, &dialect).map_err(failure)?;
        let tables = state.resolve_table_references(&statement).map_err(failure)?;
        let planned = state.statement_to_plan(statement).await;
        let plan = planned.map_err(|cause| self.missing(&tables).unwrap_or_else(|| failure(cause)))?;
        let reading =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        if let Err(cause) = reading.verify_plan(&plan) {
            return Err(
                Error::new(Kind::Query, "only queries that read are answered").because(failure_text(&cause))
            );
        }
        let frame = self.context.execute_logical_plan(plan).await.map_err(failure)?;
        frame.execute_stream().await.map_err(failure)
    }

    /// What to say of a table that is not there; none when all are.
    fn missing(&self, tables: &[TableReference]) -> Option<Error> {
        let known = |table: &&TableReference| self.context.table_exist((*table).clone()).unwrap_or(false);
        let missing = tables.iter().find(|table| !known(table))?;
        if let Some((name, why)) = self.absent.iter().find(|(name, _)| *name == missing.table()) {
            return Some(Error::new(Kind::Query, format!("{name} {why}: nothing to query")));
        }
        let known = match self.tables.is_empty() {
            true => "no stream goes to a file or a topic".to_owned(),
            false => format!("the tables are {}", self.tables.join(", ")),
        };
        Some(Error::new(Kind::Query, format!("there is no table {missing}: {known}")))
    }
}

/// DataFusion's failure in our words.
pub fn failure(cause: DataFusionError) -> Error {
    Error::new(Kind::Query, failure_text(&cause))
}

/// The message at the root, without the layers and backtraces around it.
fn failure_text(cause: &DataFusionError) -> String {
    let root = cause.find_root();
    let text = match root {
        DataFusionError::SQL(cause, _) => cause.to_string(),
        DataFusionError::Plan(text) | DataFusionError::Execution(text) => text.clone(),
        _ => root.to_string(),
    };
    match text.split_once(DataFusionError::BACK_TRACE_SEP) {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

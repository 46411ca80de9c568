//! A DataFusion session over one pipeline's tables, for reading only.
//! It must not know how a table's bytes are read; it names the tables and answers queries on them.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::TableReference;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::Stream;
use tickcast_stream::table::Table;
use tokio::runtime::Runtime;

use super::output::{self, OutputFormat};
use super::{parquet, scan};
use crate::depth::{self, STACK_BYTES, WORDS_MAX, on_a_deep_stack};
use crate::fault::{failure, failure_text};

/// Rows of a batch of which each may be as large as a record.
const ROWS_IN_ORDER: usize = 64;

/// A stream's results: where they are, and the columns they have.
#[derive(Debug, Clone)]
pub struct StreamTable {
    /// Its name is the table's.
    pub stream: Stream,
    /// Its columns.
    pub schema: SchemaRef,
    /// Where the rows are.
    pub table: Table,
}

/// The tables of a pipeline, ready for queries.
pub struct Session {
    runtime: Runtime,
    context: SessionContext,
    tables: Vec<&'static str>,
    /// Streams that cannot be queried, and why.
    absent: Vec<(&'static str, &'static str)>,
}

impl Session {
    /// Names the tables; their bytes are read by queries only. Errors: `Io`, when no threads can be
    /// started; `Query`, when the place of a table cannot be read.
    ///
    /// Queries share `memory_bytes`. That counts what DataFusion asks its pool for: sorts, groups
    /// and joins, not the value of a single row. Nothing is written to the disk in its place.
    pub fn open(tables: Vec<StreamTable>, memory_bytes: usize) -> Result<Self> {
        Session::with(SessionConfig::new(), tables, memory_bytes)
    }

    /// As [`Session::open`], for plain filters over rows that may be large: the rows of a part of a
    /// table come in its order, a few at a time.
    pub fn in_order(tables: Vec<StreamTable>, memory_bytes: usize) -> Result<Self> {
        let config = SessionConfig::new().with_target_partitions(1).with_batch_size(ROWS_IN_ORDER);
        Session::with(config, tables, memory_bytes)
    }

    fn with(config: SessionConfig, tables: Vec<StreamTable>, memory_bytes: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("sql")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .or_fail(Kind::Io, || "cannot start threads for the query")?;
        let config = config.with_information_schema(true);
        let no_spill = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let memory = RuntimeEnvBuilder::new()
            .with_memory_limit(memory_bytes, 1.0)
            .with_disk_manager_builder(no_spill)
            .build_arc()
            .map_err(failure)?;
        let mut session = Session {
            runtime,
            context: SessionContext::new_with_config_rt(config, memory),
            tables: Vec::new(),
            absent: Vec::new(),
        };

        tables.into_iter().try_for_each(|table| session.add(table))?;
        Ok(session)
    }

    fn add(&mut self, StreamTable { stream, schema, table }: StreamTable) -> Result<()> {
        let name = stream.name();
        let table = match table {
            Table::Absent(why) => {
                self.absent.push((name, why));
                return Ok(());
            }
            Table::Parquet(files) => parquet::table(&files, schema)?,
            Table::Scan(scan) => scan::table(scan, schema),
        };

        self.context.register_table(name, table).map_err(failure)?;
        self.tables.push(name);
        Ok(())
    }

    /// Answers one query and writes the answer to `out`. Errors: `Query` for what is wrong with the
    /// query or its data, `Io` when `out` cannot be written.
    pub fn answer(&self, sql: &str, format: OutputFormat, out: &mut (dyn Write + Send)) -> Result<()> {
        depth::check(sql, WORDS_MAX)?;
        on_a_deep_stack(|| {
            self.runtime.block_on(async { output::write(self.plan(sql).await?, format, out).await })
        })
    }

    /// Hands the answer to a query on, batch by batch. Errors: `Query`; those of `take`.
    pub fn for_each_batch(&self, sql: &str, take: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.runtime.block_on(async {
            let mut answer = self.plan(sql).await?;
            while let Some(batch) = answer.next().await {
                take(batch.map_err(failure)?)?;
            }
            Ok(())
        })
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

        let known = if self.tables.is_empty() {
            "no stream goes to a file or a topic".to_owned()
        } else {
            format!("the tables are {}", self.tables.join(", "))
        };
        Some(Error::new(Kind::Query, format!("there is no table {missing}: {known}")))
    }
}

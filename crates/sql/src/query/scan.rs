//! A reader of rows as a DataFusion table, one DataFusion partition a part.
//! It must not know what is read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::PartitionStream;
use tickcast_stream::table::TableScan;

use super::batches;

/// Rows of `schema` that `scan` reads; its parts are asked for when a query reads it.
pub fn table(scan: Arc<dyn TableScan>, schema: SchemaRef) -> Arc<dyn TableProvider> {
    Arc::new(ScanTable { scan, schema })
}

#[derive(Debug)]
struct ScanTable {
    scan: Arc<dyn TableScan>,
    schema: SchemaRef,
}

impl TableProvider for ScanTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn scan<'table, 'session, 'projection, 'filters, 'future>(
        &'table self,
        session: &'session dyn Session,
        projection: Option<&'projection Vec<usize>>,
        filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'future>>
    where
        'table: 'future,
        'session: 'future,
        'projection: 'future,
        'filters: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            let scan = Arc::clone(&self.scan);
            let parts = tokio::task::spawn_blocking(move || scan.parts());
            let parts = parts.await.map_err(|cause| DataFusionError::External(cause.into()))?;
            let open = |part| -> Arc<dyn PartitionStream> {
                Arc::new(Part { scan: Arc::clone(&self.scan), part, schema: self.schema.clone() })
            };

            let partitions = parts.map_err(DataFusionError::Execution)?.into_iter().map(open).collect();
            StreamingTable::try_new(self.schema.clone(), partitions)?
                .scan(session, projection, filters, limit)
                .await
        })
    }
}

#[derive(Debug)]
struct Part {
    scan: Arc<dyn TableScan>,
    part: i32,
    schema: SchemaRef,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (scan, part) = (Arc::clone(&self.scan), self.part);
        batches::stream(self.schema.clone(), move |batches| scan.read(part, batches))
    }
}

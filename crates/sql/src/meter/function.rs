//! `increase` and `delta` as DataFusion plans them: aggregates of one number.
//! It must not know how readings are kept.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{not_impl_err, plan_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::accumulator::MeterAccumulator;
use super::readings::Meter;

/// A function over the readings of a meter. Its accumulator takes event times as a second argument,
/// and evaluates to readings: the step is made of them where the reading before is known.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MeterFunction {
    meter: Meter,
    signature: Signature,
}

/// All functions over meters.
pub fn functions() -> [AggregateUDF; 2] {
    [Meter::Increase, Meter::Delta].map(|meter| {
        let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
        AggregateUDF::from(MeterFunction { meter, signature })
    })
}

/// What the function makes of readings; none: it is another function.
pub fn meter_of(function: &AggregateUDF) -> Option<Meter> {
    function.inner().downcast_ref::<MeterFunction>().map(|function| function.meter)
}

/// Refuses what has no meaning for a meter.
pub fn must_be_plain(aggregate: &Expr) -> DfResult<()> {
    let Expr::AggregateFunction(call) = aggregate else { return Ok(()) };
    let (name, params) = (call.func.name(), &call.params);
    if meter_of(&call.func).is_some() && (params.distinct || !params.order_by.is_empty()) {
        return plan_err!("{name} takes all readings in the order of time: no DISTINCT and no ORDER BY");
    }
    Ok(())
}

impl AggregateUDFImpl for MeterFunction {
    fn name(&self) -> &str {
        match self.meter {
            Meter::Delta => "delta",
            Meter::Increase => "increase",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        Ok(vec![])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        not_impl_err!("{} stands in window.select alone", self.name())
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(MeterAccumulator::new(self.meter)))
    }
}

"""The windows of benches/e2e in Quix Streams, and a forecast of each series at each horizon by River's online linear
regression. It must not know how it is measured.

    python quix_river.py BROKERS GROUP GUARANTEE STATE_FOLDER TOPIC RESULTS WINDOW_MS

It says "running" before it joins its group, and "first" when it has read a record. The models are in memory only, as River
has no state of Quix.
"""

import datetime
import sys

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Max, Mean, Min, Sum
from river import linear_model, preprocessing

HORIZONS = (1, 5)


class Forecaster:
    """A series: predict, and learn when the truth has come, as one writes it with River."""

    def __init__(self):
        self.models = {h: preprocessing.StandardScaler() | linear_model.LinearRegression() for h in HORIZONS}
        self.past = []

    def step(self, features):
        for horizon, model in self.models.items():
            if len(self.past) >= horizon:
                model.learn_one(self.past[-horizon], features["price"])
        self.past = [*self.past[1 - max(HORIZONS) :], features]
        return {str(horizon): model.predict_one(features) for horizon, model in self.models.items()}


def main():
    brokers, group, guarantee, folder, topic, results, window_ms = sys.argv[1:]
    said, forecasters = [], {}

    def time_of(value, _headers, _timestamp, _kind):
        if not said:
            said.append(print("first", flush=True))
        return value["time"] // 1000

    def forecast(value, key, _timestamp, _headers):
        features = {name: value[name] for name in ("price", "high", "low", "volume", "trades")}
        made = forecasters.setdefault(key, Forecaster()).step(features)
        end = datetime.datetime.fromtimestamp(value["end"] / 1000, datetime.timezone.utc)
        return {"series": key, "issued_at": end.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "forecasts": made}

    app = Application(
        broker_address=brokers,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        state_dir=folder,
        loglevel="WARNING",
    )
    source = app.topic(topic, key_deserializer="str", timestamp_extractor=time_of)
    sink = app.topic(results, key_serializer="str")
    windows = app.dataframe(source).tumbling_window(int(window_ms)).agg(
        price=Mean("price"), high=Max("price"), low=Min("price"), volume=Sum("size"), trades=Count()
    )
    windows.final(closing_strategy="partition").apply(forecast, metadata=True).to_topic(sink)
    print("running", flush=True)
    app.run()


if __name__ == "__main__":
    main()

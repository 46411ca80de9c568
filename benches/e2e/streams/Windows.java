import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.FileReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The windows of benches/e2e in Kafka Streams: five aggregates a series and window, put out when the window closes. No
 * forecasts.
 *
 * <p>Arguments: a properties file of Kafka Streams, the topic of ticks, the topic of results, the window in milliseconds.
 * It says "running" when it has its partitions and "first" when it has read a record.
 */
public final class Windows {
    record Tick(String key, long time, double price, double size) {}

    record Result(String series, String window_start, String issued_at, double price, double high, double low,
                  double volume, long trades) {}

    private static volatile boolean isFirst = true;

    private static final class Totals {
        long trades;
        double prices;
        double high = Double.NEGATIVE_INFINITY;
        double low = Double.POSITIVE_INFINITY;
        double volume;

        Totals add(Tick tick) {
            trades++;
            prices += tick.price();
            high = Math.max(high, tick.price());
            low = Math.min(low, tick.price());
            volume += tick.size();
            return this;
        }

        byte[] bytes() {
            return ByteBuffer.allocate(40).putLong(trades).putDouble(prices).putDouble(high).putDouble(low)
                .putDouble(volume).array();
        }

        static Totals of(byte[] bytes) {
            ByteBuffer from = ByteBuffer.wrap(bytes);
            Totals totals = new Totals();
            totals.trades = from.getLong();
            totals.prices = from.getDouble();
            totals.high = from.getDouble();
            totals.low = from.getDouble();
            totals.volume = from.getDouble();
            return totals;
        }
    }

    private static Result result(Windowed<String> key, Totals totals) {
        return new Result(key.key(), Instant.ofEpochMilli(key.window().start()).toString(),
            Instant.ofEpochMilli(key.window().end()).toString(), totals.prices / totals.trades, totals.high, totals.low,
            totals.volume, totals.trades);
    }

    private static <T> Serde<T> json(Class<T> type) {
        ObjectReader reader = new ObjectMapper().readerFor(type);
        ObjectWriter writer = new ObjectMapper().writerFor(type);
        Serializer<T> to = (topic, value) -> {
            try {
                return writer.writeValueAsBytes(value);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        Deserializer<T> from = (topic, bytes) -> {
            try {
                return reader.readValue(bytes);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        return Serdes.serdeFrom(to, from);
    }

    private static long timeOf(Tick tick) {
        if (isFirst) {
            isFirst = false;
            System.out.println("first");
        }
        return tick.time() / 1000;
    }

    public static void main(String[] words) throws IOException {
        Properties settings = new Properties();
        try (FileReader file = new FileReader(words[0])) {
            settings.load(file);
        }
        Serde<Totals> totals = Serdes.serdeFrom((topic, value) -> value == null ? null : value.bytes(),
            (topic, bytes) -> bytes == null ? null : Totals.of(bytes));
        Serde<Tick> ticks = json(Tick.class);
        Duration window = Duration.ofMillis(Long.parseLong(words[3]));

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(words[1], Consumed.with(Serdes.String(), ticks)
                .withTimestampExtractor((record, before) -> timeOf((Tick) record.value())))
            .groupByKey(Grouped.with(Serdes.String(), ticks))
            .windowedBy(TimeWindows.ofSizeWithNoGrace(window))
            .emitStrategy(EmitStrategy.onWindowClose())
            .aggregate(Totals::new, (series, tick, sum) -> sum.add(tick),
                Materialized.<String, Totals, WindowStore<Bytes, byte[]>>as("windows")
                    .withKeySerde(Serdes.String()).withValueSerde(totals).withCachingEnabled())
            .toStream()
            .map((key, sum) -> KeyValue.pair(key.key(), result(key, sum)))
            .to(words[2], Produced.with(Serdes.String(), json(Result.class)));

        KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                System.out.println("running");
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
    }
}

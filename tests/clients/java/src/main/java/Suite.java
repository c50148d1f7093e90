import com.clickhouse.client.api.Client;
import com.clickhouse.client.api.CompressionMethod;
import com.clickhouse.client.api.data_formats.RowBinaryFormatWriter;
import com.clickhouse.client.api.insert.InsertSettings;
import com.clickhouse.client.api.metadata.TableSchema;
import com.clickhouse.client.api.query.GenericRecord;
import com.clickhouse.data.ClickHouseFormat;
import java.io.ByteArrayInputStream;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/** Java's client-v2 and JDBC driver: beans, streams of several formats, prepared batches. What it prints: ../README.md. */
public class Suite {
    private static final String URL = System.getenv("CLIENTS_URL");
    private static final String TABLE = System.getenv("CLIENTS_TABLE");
    private static final String READ = System.getenv("CLIENTS_READ");
    private static final String PHASE = System.getenv("CLIENTS_PHASE");
    private static final String ONLY = System.getenv("CLIENTS_ONLY");
    private static final int ROWS = Integer.parseInt(System.getenv("CLIENTS_ROWS"));
    private static final long LIMIT_SECONDS = 60;
    private static int told = 0;

    private interface Case {
        void run(String label) throws Exception;
    }

    public static void main(String[] arguments) {
        attempt("connect and ping", () -> {
            try (Client client = client(same -> same)) {
                if (!client.ping()) {
                    throw new IllegalStateException("ping() says no");
                }
                client.loadServerInfo();
                return new String[] {"done", "server " + client.getServerVersion()};
            }
        });
        beans();
        streams();
        insert("RowBinary by RowBinaryFormatWriter", Suite::rowBinaryWriter);
        jdbc();
        if (!READ.isEmpty()) {
            attempt("beans", () -> new String[] {"read", String.valueOf(readBack(label("beans")))});
        }
        System.out.println("end\t" + told);
        System.exit(0);
    }

    private static void beans() {
        insert("beans", label -> insertBeans(label, same -> same));
        insert("beans, LZ4 blocks", label -> insertBeans(label, builder -> builder.compressClientRequest(true)
                .compressionMethod(CompressionMethod.LZ4)));
        insert("beans, HTTP lz4", label -> insertBeans(label, builder -> builder.compressClientRequest(true).useHttpCompression(true)));
        insert("beans, ZSTD blocks", label -> insertBeans(label, builder -> builder.compressClientRequest(true)
                .compressionMethod(CompressionMethod.ZSTD)));
        insert("beans, no compression at all", label -> insertBeans(label, builder -> builder.compressServerResponse(false)));
        insert("beans, async_insert", label -> insertBeans(label, builder -> builder.serverSetting("async_insert", "1")
                .serverSetting("wait_for_async_insert", "1")));
    }

    private static void streams() {
        Function<String, byte[]> csv = label -> Row.body(label, ROWS, Row::csv);
        Function<String, byte[]> json = label -> Row.body(label, ROWS, Row::json);
        Function<String, byte[]> tsv = label -> Row.body(label, ROWS, Row::tabSeparated);
        insert("stream CSV", label -> insertStream(csv.apply(label), ClickHouseFormat.CSV, same -> same));
        insert("stream JSONEachRow", label -> insertStream(json.apply(label), ClickHouseFormat.JSONEachRow, same -> same));
        insert("stream TabSeparated", label -> insertStream(tsv.apply(label), ClickHouseFormat.TabSeparated, same -> same));
        insert("stream CSV, LZ4 blocks", label -> insertStream(csv.apply(label), ClickHouseFormat.CSV,
                builder -> builder.compressClientRequest(true).compressionMethod(CompressionMethod.LZ4)));
        insert("stream JSONEachRow, HTTP lz4", label -> insertStream(json.apply(label), ClickHouseFormat.JSONEachRow,
                builder -> builder.compressClientRequest(true).useHttpCompression(true)));
        insert("stream TabSeparated, ZSTD blocks", label -> insertStream(tsv.apply(label), ClickHouseFormat.TabSeparated,
                builder -> builder.compressClientRequest(true).compressionMethod(CompressionMethod.ZSTD)));
    }

    private static void jdbc() {
        insert("JDBC batch", label -> jdbcBatch(label, new Properties()));
        Properties compressed = new Properties();
        compressed.setProperty("decompress", "true");
        insert("JDBC batch, ZSTD blocks", label -> jdbcBatch(label, compressed));
        Properties binary = new Properties();
        binary.setProperty("beta.row_binary_for_simple_insert", "true");
        insert("JDBC batch, RowBinary (beta)", label -> jdbcBatch(label, binary));
    }

    private static Client client(UnaryOperator<Client.Builder> options) {
        return options.apply(new Client.Builder().addEndpoint(URL).setUsername("default").setPassword("").setDefaultDatabase("clients"))
                .build();
    }

    private static boolean isOld() {
        return "18.16".equals(System.getenv("CLIENTS_ENGINE"));
    }

    private static String plainTable() {
        return TABLE.substring(TABLE.indexOf('.') + 1);
    }

    private static void insertBeans(String label, UnaryOperator<Client.Builder> options) throws Exception {
        try (Client client = client(options)) {
            TableSchema schema = client.getTableSchema(plainTable());
            client.register(Row.class, schema);
            client.insert(plainTable(), Row.rows(label, ROWS)).get(LIMIT_SECONDS, TimeUnit.SECONDS).close();
        }
    }

    private static void insertStream(byte[] body, ClickHouseFormat format, UnaryOperator<Client.Builder> options) throws Exception {
        try (Client client = client(options)) {
            client.insert(plainTable(), Row.COLUMNS, new ByteArrayInputStream(body), format, new InsertSettings())
                    .get(LIMIT_SECONDS, TimeUnit.SECONDS).close();
        }
    }

    private static void rowBinaryWriter(String label) throws Exception {
        try (Client client = client(same -> same)) {
            TableSchema schema = client.getTableSchema(plainTable());
            client.insert(plainTable(), out -> {
                RowBinaryFormatWriter writer = new RowBinaryFormatWriter(out, schema, ClickHouseFormat.RowBinary);
                for (Row row : Row.rows(label, ROWS)) {
                    List<Object> values = row.values();
                    for (int column = 0; column < values.size(); column++) {
                        writer.setValue(column + 1, values.get(column));
                    }
                    writer.commitRow();
                }
            }, ClickHouseFormat.RowBinary, new InsertSettings()).get(LIMIT_SECONDS, TimeUnit.SECONDS).close();
        }
    }

    private static void jdbcBatch(String label, Properties properties) throws Exception {
        String names = String.join(", ", Row.COLUMNS);
        String marks = "?, ".repeat(Row.COLUMNS.size() - 1) + "?";
        try (Connection connection = DriverManager.getConnection("jdbc:clickhouse:" + URL + "/clients", properties);
                PreparedStatement statement = connection.prepareStatement(
                        "INSERT INTO " + plainTable() + " (" + names + ") VALUES (" + marks + ")")) {
            for (Row row : Row.rows(label, ROWS)) {
                List<Object> values = row.values();
                for (int column = 0; column < values.size(); column++) {
                    statement.setObject(column + 1, isOld() ? Row.oldValue(values.get(column)) : values.get(column));
                }
                statement.addBatch();
            }
            statement.executeBatch();
        }
    }

    private static int readBack(String label) throws Exception {
        String sql = "SELECT " + String.join(", ", Row.COLUMNS) + " FROM " + READ + " WHERE label = '" + label + "'";
        try (Client client = client(same -> same)) {
            List<GenericRecord> found = client.queryAll(sql);
            for (int tries = 0; found.isEmpty() && tries < 100; tries++) {
                Thread.sleep(100); // Weir delivers a little after its answer
                found = client.queryAll(sql);
            }
            for (GenericRecord record : found) {
                compare(record, new Row(label, record.getLong("id")));
            }
            return found.size();
        }
    }

    private static void compare(GenericRecord record, Row row) {
        List<Object> wanted = row.values();
        for (int column = 0; column < wanted.size(); column++) {
            String name = Row.COLUMNS.get(column);
            Object found = switch (name) {
                case "tags", "numbers" -> record.getList(name);
                case "at" -> record.getZonedDateTime(name).withZoneSameInstant(java.time.ZoneOffset.UTC);
                case "day" -> record.getLocalDate(name);
                case "big" -> record.getBigInteger(name);
                default -> record.getObject(name);
            };
            if (wanted.get(column) == null ? found != null : !wanted.get(column).toString().equals(String.valueOf(found))) {
                throw new IllegalStateException("row " + row.getId() + ", " + name + ": read " + found + ", sent " + wanted.get(column));
            }
        }
    }

    private interface Told {
        String[] run() throws Exception;
    }

    private static String label(String name) {
        return "java: " + name + ": " + PHASE;
    }

    private static void insert(String name, Case run) {
        attempt(name, () -> {
            long since = System.nanoTime();
            run.run(label(name));
            return new String[] {"inserted", (System.nanoTime() - since) / 1_000_000 + " ms"};
        });
    }

    /** Runs a case unless it is left out. */
    private static void attempt(String name, Told run) {
        if (!name.contains(ONLY)) {
            return;
        }
        String[] outcome;
        try {
            outcome = run.run();
        } catch (Exception | LinkageError trouble) {
            Throwable cause = trouble;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            outcome = new String[] {"failed", cause.getClass().getSimpleName() + ": " + cause.getMessage()};
        }
        told++;
        System.out.println(outcome[0] + "\t" + name + "\t" + outcome[1].replace('\n', ' ').replace('\t', ' '));
    }
}

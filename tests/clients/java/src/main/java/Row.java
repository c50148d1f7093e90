import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.stream.Collectors;

/** Row i by the formulas of ../README.md: a bean as client-v2 wants it, and its texts. */
public class Row {
    static final List<String> COLUMNS = List.of("label", "id", "big", "small", "ratio", "name", "note", "amount", "kind", "tags",
            "numbers", "at", "day", "uid", "price");
    private static final BigInteger U64_MAX = BigInteger.ONE.shiftLeft(64).subtract(BigInteger.ONE);
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss");

    private final String label;
    private final long i;

    Row(String label, long i) {
        this.label = label;
        this.i = i;
    }

    public String getLabel() {
        return label;
    }

    public long getId() {
        return i;
    }

    public BigInteger getBig() {
        return i % 2 == 0 ? U64_MAX.subtract(BigInteger.valueOf(i)) : BigInteger.valueOf(i);
    }

    public long getSmall() {
        return i % 2 == 0 ? Long.MIN_VALUE + i : -i;
    }

    public double getRatio() {
        return (i - 5000) / 8.0;
    }

    public String getName() {
        return "zażółć " + i + " 水🦀 \"q\" 's' \\ , \t;\n";
    }

    public String getNote() {
        return i % 3 == 0 ? null : i % 3 == 1 ? "" : "note " + i;
    }

    public Integer getAmount() {
        return i % 5 == 0 ? null : (int) i - 5000;
    }

    public String getKind() {
        return "kind " + i % 7;
    }

    public List<String> getTags() {
        List<String> tags = new ArrayList<>();
        for (int k = 0; k < i % 4; k++) {
            tags.add("ß" + k + ", \"x\"");
        }
        return tags;
    }

    public List<BigInteger> getNumbers() {
        List<BigInteger> numbers = new ArrayList<>();
        for (int k = 0; k < i % 3; k++) {
            numbers.add(U64_MAX.subtract(BigInteger.valueOf(k)));
        }
        return numbers;
    }

    public ZonedDateTime getAt() {
        return Instant.ofEpochSecond(1_700_000_000 + 61 * i).atZone(ZoneOffset.UTC);
    }

    public LocalDate getDay() {
        return LocalDate.ofEpochDay(10_000 + i);
    }

    public UUID getUid() {
        String high = String.format("%04x", i);
        String low = String.format("%04x", 65535 - i);
        return UUID.fromString(high + high + "-" + high + "-" + low + "-" + low + "-" + high + low + high);
    }

    public BigDecimal getPrice() {
        return BigDecimal.valueOf(12345 * i - 50_000_000, 4);
    }

    /** Its values in the order of COLUMNS. */
    List<Object> values() {
        List<Object> values = new ArrayList<>(List.of(label, i, getBig(), getSmall(), getRatio(), getName()));
        values.add(getNote());
        values.add(getAmount());
        values.addAll(List.of(getKind(), getTags(), getNumbers(), getAt(), getDay(), getUid(), getPrice()));
        return values;
    }

    /** A time as text: the driver writes it as a call of fromUnixTimestamp64Nano, which 18.16 does not know. */
    static Object oldValue(Object value) {
        return value instanceof ZonedDateTime time ? time.format(TIME) : value;
    }

    private static String text(Object value) {
        if (value instanceof List<?> list) {
            return list.stream().map(one -> one instanceof String text ? "'" + escape(text).replace("'", "\\'") + "'" : one.toString())
                    .collect(Collectors.joining(",", "[", "]"));
        }
        return value instanceof ZonedDateTime time ? time.format(TIME) : value.toString();
    }

    private static String escape(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n");
    }

    String csv() {
        return line(",", value -> value == null ? "\\N"
                : value instanceof Number ? value.toString() : '"' + text(value).replace("\"", "\"\"") + '"');
    }

    String tabSeparated() {
        return line("\t", value -> value == null ? "\\N" : escape(text(value)));
    }

    String json() {
        List<Object> values = values();
        StringBuilder json = new StringBuilder("{");
        for (int column = 0; column < values.size(); column++) {
            json.append(column == 0 ? "" : ",").append('"').append(COLUMNS.get(column)).append("\":").append(jsonValue(values.get(column)));
        }
        return json.append("}\n").toString();
    }

    private static String jsonValue(Object value) {
        if (value == null || value instanceof Number) {
            return String.valueOf(value);
        }
        if (value instanceof List<?> list) {
            return list.stream().map(Row::jsonValue).collect(Collectors.joining(",", "[", "]"));
        }
        return '"' + escape(text(value)).replace("\"", "\\\"") + '"';
    }

    private String line(String separator, java.util.function.Function<Object, String> field) {
        return values().stream().map(field).collect(Collectors.joining(separator)) + "\n";
    }

    static byte[] body(String label, int rows, java.util.function.Function<Row, String> line) {
        StringBuilder body = new StringBuilder();
        for (int i = 0; i < rows; i++) {
            body.append(line.apply(new Row(label, i)));
        }
        return body.toString().getBytes(StandardCharsets.UTF_8);
    }

    static List<Row> rows(String label, int count) {
        List<Row> rows = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            rows.add(new Row(label, i));
        }
        return rows;
    }
}

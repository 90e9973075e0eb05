/// Columns as kubectl writes them: three spaces apart, none narrower than six, and no space at the end of a line. Widths are remembered, so
/// that lines which follow later stand below those before.
struct ColumnWriter {
    private static let padding = 3
    private static let widthMin = 6

    private var widths: [Int] = []

    mutating func text(_ rows: [[String]]) -> String {
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(Self.widthMin) }
                widths[index] = max(widths[index], cell.count + Self.padding)
            }
        }
        var text = ""
        for row in rows {
            for (index, cell) in row.enumerated() {
                text += cell
                if index < row.count - 1 { text += String(repeating: " ", count: widths[index] - cell.count) }
            }
            text += "\n"
        }
        return text
    }
}

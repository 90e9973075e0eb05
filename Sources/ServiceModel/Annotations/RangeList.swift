import Addressing

extension AnnotationReader where Value == [IPRange] {
    /// `10.0.0.0/8, fd00::/8`: at least one, each once.
    static var ranges: Self {
        Self { text, field, findings in
            guard text.contains(where: { !$0.isWhitespace }) else {
                findings.required(field, "at least one range of addresses in CIDR form, such as 10.0.0.0/8 or 192.168.1.7/32")
                return nil
            }
            var ranges: [IPRange] = []
            for (index, item) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
                let item = trimmed(item)
                guard let range = IPRange(item), AddressRules.range(String(item)) == nil else {
                    let problem = item.isEmpty ? "is empty" : AddressRules.range(String(item)) ?? "is no range of addresses"
                    findings.invalid(field, string: String(item), "item \(index + 1) \(problem)")
                    continue
                }
                if ranges.contains(range) {
                    findings.duplicate(field, goQuoted(String(item)))
                } else {
                    ranges.append(range)
                }
            }
            return ranges
        }
    }
}

package import ServiceModel

/// A field of two versions of an object that is not the same in both.
package struct FieldChange: Codable, Equatable, Sendable {
    /// `spec.selector.app`, `spec.ports[http].port`, `metadata.labels[example.com/team]`. Elements of a list are known by their name or
    /// address, and without one by their place.
    package var path: String
    /// nil where the field is not there.
    package var old: JSONValue?
    package var new: JSONValue?

    package init(_ path: String, _ old: JSONValue?, _ new: JSONValue?) {
        self.path = path
        self.old = old
        self.new = new
    }

    /// Everything that differs, in the order of the fields' names. Lists of plain values are told whole.
    package static func all(from old: JSONValue, to new: JSONValue) -> [FieldChange] {
        var changes: [FieldChange] = []
        compare(old, new, at: "", into: &changes)
        return changes
    }

    private static func compare(_ old: JSONValue?, _ new: JSONValue?, at path: String, into changes: inout [FieldChange]) {
        guard old != new else { return }
        if let parts = parts(old), let newParts = self.parts(new), parts.isObject == newParts.isObject || old == nil || new == nil {
            let isObject = old == nil ? newParts.isObject : parts.isObject
            for name in Set(parts.values.keys).union(newParts.values.keys).sorted() {
                let (before, after) = (parts.values[name], newParts.values[name])
                let place = isObject ? child(path, name) : "\(path)[\(name)]"
                // An element that comes or goes is one change, whatever is in it.
                if isObject || before != nil && after != nil {
                    compare(before, after, at: place, into: &changes)
                } else {
                    changes.append(FieldChange(place, before, after))
                }
            }
        } else {
            changes.append(FieldChange(path, old, new))
        }
    }

    /// The fields of an object, or the elements of a list by what they are known by; nil for what has no parts that can be told apart.
    private static func parts(_ value: JSONValue?) -> (values: [String: JSONValue], isObject: Bool)? {
        switch value {
        case nil: return ([:], true)
        case .object(let fields): return (Dictionary(fields.map { ($0.0, $0.1) }) { first, _ in first }, true)
        case .array(let elements):
            var values: [String: JSONValue] = [:]
            for (index, element) in elements.enumerated() {
                guard case .object = element, values.updateValue(element, forKey: identity(of: element) ?? "\(index)") == nil else {
                    return nil
                }
            }
            return (values, false)
        default: return nil
        }
    }

    /// A port's name, an endpoint's address.
    private static func identity(of element: JSONValue) -> String? {
        if case .string(let name)? = element["name"] { return name }
        if case .string(let address)? = element["ip"] { return address == FreshNumbers.text ? nil : address }
        if case .array(let addresses)? = element["addresses"], case .string(let address)? = addresses.first { return address }
        return nil
    }

    private static func child(_ path: String, _ name: String) -> String {
        let isPlain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || byte == 0x2d || byte == 0x5f
        }
        guard isPlain else { return "\(path)[\(name)]" }
        return path.isEmpty ? name : "\(path).\(name)"
    }
}

internal import ControlPlane
internal import ServiceModel

/// Services that the command line names. They count before what a file says, and whatever is in their way there is told.
struct CommandLineObjects {
    let locations: [ObjectKey: SourceLocation]
    /// Objects of files that have the name of one.
    private var inTheWay: [ObjectKey: SourceLocation] = [:]

    init(_ shorthands: [Shorthand]) {
        locations = Dictionary(shorthands.map { ($0.object.key, $0.object.location) }) { first, _ in first }
    }

    /// Takes what a file says of the same names out of a change, and says so for as long as it stands there.
    mutating func prevail(over admitted: inout ServiceAdmission.Admitted) {
        guard !locations.isEmpty else { return }
        for object in admitted.change.changed where locations[object.key] != nil { inTheWay[object.key] = object.location }
        for key in admitted.change.removed { inTheWay[key] = nil }
        admitted.change.changed.removeAll { locations[$0.key] != nil }
        admitted.change.removed.removeAll { locations[$0] != nil }
        admitted.diagnostics += inTheWay.sorted { $0.key < $1.key }.map { key, location in
            Diagnostic(
                severity: .error, location: location, object: key,
                message: "\(key) is also on the command line, \(locations[key].map { "\($0)" } ?? ""), which counts: rename one of them")
        }
    }
}

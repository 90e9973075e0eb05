/// One finding about one place in a source.
package struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    package enum Severity: String, Hashable, Sendable {
        case error, warning
    }

    package let severity: Severity
    package let location: SourceLocation
    /// The object it speaks of, where one could be read.
    package let object: ObjectKey?
    /// The finding, in the API server's words where it has any: `Service "web" is invalid: spec.ports[1].name: Required value`.
    package let message: String
    /// The same in parts, and what it is about; nil where no object is at fault: a file that can't be read.
    package let origin: Origin?

    package struct Origin: Hashable, Sendable {
        package let finding: Finding
        package let subject: Subject
        /// Which of the subject's findings it is, in the API server's order.
        package let index: Int
    }

    package init(severity: Severity, location: SourceLocation, object: ObjectKey? = nil, message: String) {
        self.severity = severity
        self.location = location
        self.object = object
        self.message = message
        origin = nil
    }

    package init(_ finding: Finding, of subject: Subject, index: Int) {
        severity = finding.kind == .warning ? .warning : .error
        location = finding.location
        object = subject.key
        message = subject.message(of: finding)
        origin = Origin(finding: finding, subject: subject, index: index)
    }

    /// `file:line:column: message`, with `warning: ` before the message of a warning.
    package var description: String {
        severity == .warning ? "\(location): warning: \(message)" : "\(location): \(message)"
    }
}

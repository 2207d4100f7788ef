internal import BundleFormat

/// `name=value` pairs as a boot loader keeps them.
protocol VariableList {
    /// No variables.
    init()
    /// A variable's value; nil when there is none.
    subscript(_ name: String) -> String? { get }
    /// Sets a variable; nil removes it. A name or value that the form cannot hold is `FormatError.malformed`.
    mutating func set(_ name: String, to value: String?) throws(FormatError)
}

extension UBootEnvironment: VariableList {}
extension GRUBEnvironment: VariableList {}

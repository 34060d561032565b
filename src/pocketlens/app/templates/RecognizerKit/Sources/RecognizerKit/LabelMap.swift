/// Turns a list of labels with probabilities, in any order, into probabilities in class order.
public struct LabelMap: Sendable {
    public let classes: [String]
    private let indices: [String: Int]

    /// `classes` must be unique; `RecognizerConfiguration` validates this.
    public init(classes: [String]) {
        self.classes = classes
        indices = Dictionary(uniqueKeysWithValues: zip(classes, classes.indices))
    }

    public func index(of label: String) -> Int? {
        indices[label]
    }

    /// Probabilities in the order of `classes`. A class that is not listed gets 0.
    ///
    /// Throws `LabelError.unknown` for a label that is not one of the classes: the model and
    /// `recognizer.json` do not match.
    public func probabilities(
        of labels: some Sequence<(label: String, probability: Double)>
    ) throws -> [Double] {
        var probabilities = [Double](repeating: 0, count: classes.count)
        for (label, probability) in labels {
            guard let index = indices[label] else {
                throw LabelError.unknown(label)
            }
            probabilities[index] = probability
        }
        return probabilities
    }

    /// The `count` most probable classes, most probable first.
    public func ranking(of probabilities: [Double], count: Int = 3) -> [StableLabel] {
        zip(classes, probabilities)
            .map { StableLabel(label: $0, confidence: $1) }
            .sorted { $0.confidence > $1.confidence }
            .prefix(count)
            .map { $0 }
    }
}

public enum LabelError: Error, Equatable {
    case unknown(String)
}

import Accessibility
import RecognizerKit
import SwiftUI

/// The stable label with its confidence; announced, with haptic feedback, when it changes.
struct LabelView: View {
    let label: StableLabel?
    let isInterrupted: Bool
    @Environment(\.accessibilityReduceMotion) private var reduceMotion

    var body: some View {
        VStack {
            if isInterrupted {
                Text("The camera is being used by another app.")
                    .font(.headline)
            } else if let label {
                // Class names are data and are not translated.
                Text(verbatim: label.label)
                    .font(.largeTitle.bold())
                    .minimumScaleFactor(0.5)
                    .lineLimit(2)
                Text(label.confidence, format: .percent.precision(.fractionLength(0)))
                    .font(.title3)
                    .foregroundStyle(.secondary)
                    .monospacedDigit()
            } else {
                Text("Point the camera at something.")
                    .font(.headline)
                    .foregroundStyle(.secondary)
            }
        }
        .multilineTextAlignment(.center)
        .padding()
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 16))
        .padding()
        .animation(reduceMotion ? nil : .default, value: label?.label)
        .accessibilityElement(children: .combine)
        .sensoryFeedback(.selection, trigger: label?.label)
        .onChange(of: label?.label) { _, name in
            if let name {
                AccessibilityNotification.Announcement(name).post()
            }
        }
    }
}

import RecognizerKit
import SwiftUI

/// A canvas to draw on with a finger, and the result.
struct DrawingScreen: View {
    let model: DrawingModel
    @Environment(\.verticalSizeClass) private var verticalSizeClass

    private var layout: AnyLayout {
        // In landscape, an iPhone has space next to the canvas but not below it.
        verticalSizeClass == .compact
            ? AnyLayout(HStackLayout(spacing: 16)) : AnyLayout(VStackLayout(spacing: 16))
    }

    var body: some View {
        layout {
            SketchCanvas(model: model)
                .layoutPriority(1)
            VStack {
                AnswerView(
                    answer: model.answer,
                    problem: model.problem,
                    placeholder: "Draw something with your finger."
                )
                HStack {
                    Button("Undo", systemImage: "arrow.uturn.backward", action: model.undo)
                    Button("Clear", systemImage: "trash", role: .destructive, action: model.clear)
                }
                .buttonStyle(.bordered)
                .disabled(model.sketch.isEmpty)
            }
        }
        .padding()
    }
}

private struct SketchCanvas: View {
    let model: DrawingModel

    var body: some View {
        let ink = SketchRenderer.brightness(of: model.ink)
        GeometryReader { proxy in
            let side = proxy.size.width
            Canvas { context, size in
                context.scaleBy(x: size.width, y: size.height)
                let style = StrokeStyle(
                    lineWidth: SketchRenderer.penWidth, lineCap: .round, lineJoin: .round
                )
                for stroke in model.sketch.strokes {
                    let path = Path(SketchRenderer.path(of: stroke))
                    context.stroke(path, with: .color(white: ink), style: style)
                }
            }
            .contentShape(.rect)
            .gesture(
                DragGesture(minimumDistance: 0)
                    .onChanged { value in
                        let place = value.location
                        model.touch(at: CGPoint(x: place.x / side, y: place.y / side))
                    }
                    .onEnded { _ in model.liftFinger() }
            )
        }
        .aspectRatio(1, contentMode: .fit)
        .background(Color(white: 1 - ink))
        .clipShape(.rect(cornerRadius: 16))
        .overlay(RoundedRectangle(cornerRadius: 16).strokeBorder(.separator))
        .accessibilityElement()
        .accessibilityLabel("Canvas")
        .accessibilityHint("Draw something with your finger.")
        // With VoiceOver, too, a finger draws here instead of exploring the screen.
        .accessibilityDirectTouch(options: .requiresActivation)
        .accessibilityIdentifier("canvas")
    }
}

import RecognizerKit
import SwiftUI
import UIKit

/// The live preview with the part that the model sees, and the label.
struct CameraScreen: View {
    let model: CameraModel
    /// Switches to the drawing screen, if there is no camera.
    let draw: () -> Void

    var body: some View {
        if let problem = model.problem {
            FailureView(title: "Recognition is not available", reason: problem, model: model)
        } else {
            switch model.state {
            case .starting, .running, .interrupted:
                live
            case .denied:
                CameraDeniedView()
            case .noCamera:
                ContentUnavailableView {
                    Label("No camera", systemImage: "video.slash")
                } description: {
                    Text("Draw something, or choose a photo.")
                } actions: {
                    Button("Draw", action: draw)
                }
            case .failed(let reason):
                FailureView(title: "The camera stopped", reason: reason, model: model)
            }
        }
    }

    private var live: some View {
        ZStack {
            Color.black
            CameraPreview(
                source: model.preview,
                camera: model.camera,
                onRotation: model.rotateFrames(to:),
                onTap: model.focus(at:)
            )
            .accessibilityLabel("Camera")
            ViewfinderView(
                frameSize: model.frameSize, input: model.input, isActive: model.label != nil
            )
        }
        .ignoresSafeArea()
        .overlay(alignment: .bottom) {
            VStack(spacing: 0) {
                if let details = model.details {
                    DetailsView(details: details)
                }
                LabelView(label: model.label, isInterrupted: model.state == .interrupted)
            }
        }
        .overlay(alignment: .topTrailing) {
            controls
        }
    }

    private var controls: some View {
        VStack {
            if model.camera?.hasTorch == true {
                RoundButton(
                    title: "Flashlight",
                    systemImage: model.isTorchOn ? "flashlight.on.fill" : "flashlight.off.fill",
                    isOn: model.isTorchOn,
                    action: model.toggleTorch
                )
            }
            if model.camera?.hasOther == true {
                RoundButton(
                    title: "Switch camera",
                    systemImage: "arrow.triangle.2.circlepath.camera",
                    isOn: nil,
                    action: model.switchCamera
                )
            }
            RoundButton(
                title: "Details",
                systemImage: "list.number",
                isOn: model.showsDetails,
                action: model.toggleDetails
            )
        }
        .padding()
    }
}

private struct FailureView: View {
    let title: LocalizedStringKey
    let reason: String
    let model: CameraModel

    var body: some View {
        ContentUnavailableView {
            Label(title, systemImage: "exclamationmark.triangle")
        } description: {
            Text(verbatim: reason)
        } actions: {
            Button("Try again") {
                Task { await model.start() }
            }
        }
    }
}

/// Shown when the user has not allowed the camera.
private struct CameraDeniedView: View {
    @Environment(\.openURL) private var openURL

    var body: some View {
        ContentUnavailableView {
            Label("No access to the camera", systemImage: "camera.fill")
        } description: {
            Text("Allow this app to use the camera in Settings.")
        } actions: {
            Button("Open Settings") {
                if let settings = URL(string: UIApplication.openSettingsURLString) {
                    openURL(settings)
                }
            }
            .buttonStyle(.borderedProminent)
        }
    }
}

private struct RoundButton: View {
    let title: LocalizedStringKey
    let systemImage: String
    /// `nil` for a button that is not a toggle.
    let isOn: Bool?
    let action: () -> Void

    var body: some View {
        Button(title, systemImage: systemImage, action: action)
            .labelStyle(.iconOnly)
            .font(.title2)
            .frame(minWidth: 44, minHeight: 44)
            .background(.regularMaterial, in: .circle)
            .accessibilityAddTraits(isOn == true ? .isSelected : [])
    }
}

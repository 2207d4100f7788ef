extension DeviceUpdateTrust {
    /// The root keys of Azure Device Update, by id: the modulus in base64url; the exponent is 65537. Public keys as Microsoft
    /// publishes them with its agent (Azure/iot-hub-device-update, `root_key_list.c`).
    static let serviceRoots: [(id: String, modulus: String)] = [
        (
            "ADU.200702.R",
            "ANVCLq8RVKNQZYeiTVu6GvupMt_pmV8FRcivvTUdiegnJ1ijqO7FxR5P95KmEgZ9PX2wB_Ysf95tKvW8SbwV7_CByz-ITycd"
                + "iHEoYAi2GdLSOdAFHzx2hnG7WVi8sYh7q1YovzFzRDIQ_T3Tllz_Tlyza_-LhJuLgLhJ0H361kBYdk3Acid1y5ovm7SfDyXx"
                + "HMUbC1owfS-476cmWFOv1R1VAVEN6RuiDz_X6R0gQabmFAqu_vIcKtbkBHv2FH7sD5eD-lj6gTYhuaMr-tlhCxqU98G-f0AU"
                + "Ssn6NX_vZnAAsf3b12ENO1h0Z5SJdXaWfJGH0o4Rl-57h2yaL0XYZT9ScJgqy8gEY_XJR89w9O1kp3SlI4-27fcc07AcZFcS"
                + "WqmBhB-g51AZlrSCsaxI4-EygstAH6zEWbwQNFGC-SiNqB6b9XlFdbLcmhFDCL5hzJrEy3c2_4PdqHFPUY4Oe036eZiNvvyC"
                + "fkBIqRIBqNl-86Ub8fuQdz5AhxjJq9n3eQ"
        ),
        (
            "ADU.200703.R",
            "ALKjsnQW-rsg-VJ25ic-gEHG_s8w-ciW9VkKqoHnUYOKxPUXOi8q5lfUcc6KPe-aVXY-meLCrkzuLbh49aJOKPKcTjllvOzk"
                + "DeXjOKhZqwikG7T0oFKjOLNGIRPMPGgG3v4AppJu3kxHENYcnCT1zXDh9Wp8aBMd4cX2qE8hn4Z8RMWKmRzF0wabWnGdCRzD"
                + "ZDFqxReVHV0q8VXHZtTo9dmpW4yibGJgBTfXMrBzy_dLNickIYw4CrgY_vUVYDWLNe8eD4imE417fe-z57DJphxwe8zyKYuH"
                + "972dtohvrHP_cvLvSCeWcoYGolzjfc6wnuXC2U7E8394B0tliEUMEeWWVjSILRYOWULS99ntHe3JN3dEfuOENp9YE-9v5MNE"
                + "1HcGis9byIAcophlCzXcc8hp0F7oJUOe9tirBa9RKSNVQFgQ6rjizV15zOzftFuYx_rj0mwmzi4sVuDPje79kxIvAEmNHII4"
                + "VqZdeURKGvPcFhCzwS0nEf4bmAXko2AxmQ"
        ),
    ]
}

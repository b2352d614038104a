import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.KeyFactory;
import java.security.Provider;
import java.security.PublicKey;
import java.security.Security;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.io.ByteArrayOutputStream;
import java.util.Base64;
import javax.crypto.Cipher;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;

/** One golden token (see ../make_token_vectors.py): Issuer [-bc] PEM PADDING raw|base64 OUTER PLAIN. */
public final class Issuer {
    public static void main(String[] args) throws Exception {
        boolean bouncyCastle = args[0].equals("-bc");
        if (bouncyCastle) {
            Class<?> provider = Class.forName("org.bouncycastle.jce.provider.BouncyCastleProvider");
            Security.insertProviderAt((Provider) provider.getConstructor().newInstance(), 1);
            args = java.util.Arrays.copyOfRange(args, 1, args.length);
        }
        byte[] sealed = cipher(args[1], key(args[0])).doFinal(args[4].getBytes(StandardCharsets.UTF_8));
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        body.write(args[4].substring(0, args[4].indexOf('|') + 1).getBytes(StandardCharsets.US_ASCII));
        body.write(args[2].equals("raw") ? sealed : Base64.getEncoder().encode(sealed));
        System.out.write(outer(args[3]).encode(body.toByteArray()));
        System.out.flush();
    }

    private static PublicKey key(String file) throws Exception {
        String pem = new String(Files.readAllBytes(Paths.get(file)), StandardCharsets.US_ASCII);
        byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]+-----", ""));
        return KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(der));
    }

    /** By the transformation's name alone, except the one that SunJCE has no name for. */
    private static Cipher cipher(String padding, PublicKey key) throws Exception {
        switch (padding) {
            case "OAEPWithSHA-256AndMGF1Padding with MGF1ParameterSpec.SHA256":
                Cipher cipher = Cipher.getInstance("RSA/ECB/OAEPPadding");
                cipher.init(Cipher.ENCRYPT_MODE, key, new OAEPParameterSpec(
                        "SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT));
                return cipher;
            default:
                Cipher named = Cipher.getInstance(padding);
                named.init(Cipher.ENCRYPT_MODE, key);
                return named;
        }
    }

    private static Base64.Encoder outer(String form) {
        switch (form) {
            case "url-safe": return Base64.getUrlEncoder();
            case "unpadded": return Base64.getEncoder().withoutPadding();
            case "lines": return Base64.getMimeEncoder();
            default: return Base64.getEncoder();
        }
    }
}
